"""HTML pieces that every page shares; all text is escaped here, and toxic text stays blurred until it is asked for."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path

from infra.render.page import Table

_STYLE = Path(__file__).parents[1] / "templates" / "page.css"
_LONG = 60  # characters of a cell from which on it is folded
escape = html.escape


def page(title: str, body: str) -> str:
    """A complete, self-contained page around an already escaped body."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE.read_text(encoding='utf-8')}</style>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )


def table_html(table: Table) -> str:
    """A table with its caption; numbers are set right."""
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in table.rows)
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<div class=scroll><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _cell(value: object) -> str:
    number, text = isinstance(value, (int, float)) and not isinstance(value, bool), text_of(value)
    style = " class=n" if number else " class=long" if len(text) > _LONG else ""
    return f"<td{style}>{escape(text)}</td>"


def text_of(value: object) -> str:
    """A value as a person reads it: thousands apart, four significant digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds" if seconds >= 1 else "under a second"


def blurred(text: str) -> str:
    """Text that is unreadable until it is clicked (or focused and Enter is pressed)."""
    return f"<details class=blurred><summary>show text</summary><p>{escape(text)}</p></details>"


def heatmap(text: str, spans: Iterable[tuple[int, int, float]]) -> str:
    """Text with its risky spans coloured by score (code-point offsets; the highest score wins where spans overlap).

    The colours are seen at once, the letters are blurred until the box is ticked.
    """
    scores = [0.0] * len(text)
    for start, end, score in spans:
        for position in range(max(start, 0), min(end, len(text))):
            scores[position] = max(scores[position], score)
    pieces, start = [], 0
    for position in range(1, len(text) + 1):
        if position == len(text) or scores[position] != scores[start]:
            pieces.append(_coloured(text[start:position], scores[start]))
            start = position
    ask = "<label><input type=checkbox> show text</label>"
    return f"<div class=veil>{ask}<p class=heat>{''.join(pieces)}</p></div>"


def _coloured(text: str, score: float) -> str:
    if score <= 0:
        return escape(text)
    return f'<mark style="--risk:{score:.3f}" title="{score:.3f}">{escape(text)}</mark>'
