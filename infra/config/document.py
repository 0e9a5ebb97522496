"""A YAML file as plain data that remembers the line of every key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

Path_: TypeAlias = tuple[str | int, ...]


@dataclass
class YamlDocument:
    """A YAML file as plain data, with the line of every key and item (`--set` overrides carry their own text)."""

    path: Path
    data: dict[str, Any]
    where: dict[Path_, str] = field(default_factory=dict)

    def locate(self, path: Path_) -> str:
        """`file:line` of the longest known prefix of `path`."""
        for length in range(len(path), -1, -1):
            if known := self.where.get(path[:length]):
                return known
        return f"{self.path}:1"
