"""Rows that need unlike many candidates, cut into forwards of alike ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pack:
    """Rows, by index, that go through one forward of `width` tokens a row."""

    rows: list[int]
    width: int


def packed(needed: Sequence[int], cost: int) -> list[Pack]:
    """All rows in the packs that run the fewest tokens, a pack taking as long as `cost` tokens beside its own.

    `needed` is the least width of each row. Rows in order of need are cut into runs, by dynamic programming over the
    widths that occur.
    """
    rows_of: dict[int, list[int]] = {}
    for row, width in enumerate(needed):
        rows_of.setdefault(width, []).append(row)
    widths = sorted(rows_of)
    best: list[tuple[int, int]] = [(0, 0)]  # tokens of the rows up to a width, and where their last run begins
    for end, width in enumerate(widths, 1):
        rows, options = 0, []
        for first in range(end - 1, -1, -1):
            rows += len(rows_of[widths[first]])
            options.append((best[first][0] + cost + rows * width, first))
        best.append(min(options))
    packs, end = list[Pack](), len(widths)
    while end:
        first = best[end][1]
        packs.append(Pack(sorted(row for width in widths[first:end] for row in rows_of[width]), widths[end - 1]))
        end = first
    return packs[::-1]
