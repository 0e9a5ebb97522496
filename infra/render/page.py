"""What a stage shows, before anybody has drawn it: tables, the page of a result, the plan of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table for the terminal and for HTML alike."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class Plan:
    """What a stage will do and cost; `scripts` are (title, text) of what would be handed to another program."""

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...] = ()
    scripts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """What `show` draws: tables for the terminal; for the page an HTML body (already escaped) or a finished file."""

    title: str
    tables: tuple[Table, ...]
    html: str = ""
    file: Path | None = None
