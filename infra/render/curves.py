"""Curves as inline SVG, for pages that hold nothing but themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT, _MARGIN = 720, 300, 48  # pixels

Points = Sequence[tuple[float, float]]


def curves(title: str, lines: Mapping[str, Points], right: str) -> str:
    """Lines by name under a title, on one pair of axes; `right` is what stands below the largest x. '' without points.

    The horizontal axis begins at 0.
    """
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    widest = max(x for x, _ in points) or 1
    low, high = min(y for _, y in points), max(y for _, y in points)

    def to_pixels(x: float, y: float) -> str:
        across = _MARGIN + (_WIDTH - 2 * _MARGIN) * x / widest
        down = _MARGIN + (_HEIGHT - 2 * _MARGIN) * (high - y) / (high - low or 1)
        return f"{across:.1f},{down:.1f}"

    drawn = ""
    for number, (name, line) in enumerate(lines.items()):
        drawn += _line(number, name, [to_pixels(*point) for point in line])
    labels = (
        _text(4, _MARGIN, f"{high:.2f}")
        + _text(4, _HEIGHT - _MARGIN, f"{low:.2f}")
        + _text(_WIDTH - 2 * _MARGIN, _HEIGHT - 12, right)
    )
    heading = f"<h2>{escape(title)}</h2>"
    return f'{heading}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">{drawn}{labels}</svg>'


def _line(number: int, name: str, points: list[str]) -> str:
    colour = f"hsl({(210 + 137 * number) % 360} 70% 42%)"
    curve = f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>'
    return curve + _text(_MARGIN + 130 * number, 20, name, colour)


def _text(x: int, y: int, words: str, colour: str = "currentColor") -> str:
    return f'<text x="{x}" y="{y}" font-size="13" fill="{colour}">{escape(words)}</text>'
