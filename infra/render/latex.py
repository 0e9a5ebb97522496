"""LaTeX as papers have it: a table in `booktabs`, all text escaped. Needs the packages `booktabs` and `longtable`."""

from __future__ import annotations

import re

from infra.render.html import text_of
from infra.render.page import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "●": r"$\bullet$",
    "–": "--",
    "…": r"\ldots{}",
    "\n": " ",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_ANY = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex(table: Table) -> str:
    """A `longtable` with its caption: it goes on where a page ends. Columns of numbers are set right."""
    columns = zip(*table.rows, strict=True) if table.rows else [("",)] * len(table.columns)
    numeric = [all(cell is None or isinstance(cell, (int, float)) for cell in cells) for cells in columns]
    shape = "".join("r" if right else "l" for right in numeric)
    lines = [
        rf"\begin{{longtable}}{{{shape}}}",
        rf"\caption{{{escaped(table.title)}}} \\",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        r"\endhead",
        *(_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    return "\n".join(lines)


def escaped(value: object) -> str:
    """A value as tables show it, so that LaTeX prints it and runs nothing of it."""
    return _ANY.sub(lambda match: _SPECIAL[match[0]], text_of(value))


def _row(cells: tuple[object, ...]) -> str:
    # An opening bracket behind a row's end would be its argument.
    return " & ".join(f"{{{text}}}" if (text := escaped(cell)).startswith("[") else text for cell in cells) + r" \\"
