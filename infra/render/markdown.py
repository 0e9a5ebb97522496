"""Markdown as the Hugging Face hub and GitHub read it: tables, and the YAML header of a card."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML

from infra.render.html import text_of
from infra.render.page import Table


def markdown(table: Table) -> str:
    """A table in GitHub's Markdown under its title."""
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    drawn = "\n".join(_row(line) for line in lines)
    return f"**{table.title}**\n\n{drawn}" if table.title else drawn


def card(header: dict[str, Any], sections: Sequence[str]) -> str:
    """A README.md: the header between its marks, then the parts that are not empty."""
    return "\n\n".join([f"---\n{_yaml(header)}---", *filter(None, sections)]) + "\n"


def _row(cells: Sequence[object]) -> str:
    texts = (text_of(cell).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(texts)} |"


def _yaml(value: dict[str, Any]) -> str:
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(value, out)
    return out.getvalue()
