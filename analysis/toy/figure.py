"""The figure of the toy experiment, entanglement by share, as inline SVG: pages hold nothing but themselves."""

from __future__ import annotations

import math

import polars as pl

from infra.render.html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 340, 56, 32, 34, 48  # pixels
_COLOURS = {"rare": "hsl(8 75% 46%)", "others": "hsl(210 70% 42%)"}
_NAMES = {"rare": "rare chain", "others": "other chains"}


def entanglement_svg(rows: pl.DataFrame, bound: float) -> str:
    """Entanglement from 0 to 1 against the share (logarithmic), bands are intervals over seeds; `rows` is the summary
    of one estimator and `bound` Welch's, a dashed line.
    """
    shares = rows["share"].to_list()
    across = [_across(share, shares[0], shares[-1]) for share in shares]
    drawn = _axes(shares, across) + _bound(bound)
    for number, name in enumerate(_COLOURS):
        drawn += _band(rows, name, across) + _legend(number, name)
    title = f"Entanglement by share of the rare chain: {rows['estimator'][0]}"
    caption = escape(f"{title}; bands are 95 % intervals over seeds, the dashed line is the Welch bound")
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" style="max-width:100%;height:auto"'
    drawing = f'<svg {box} role="img" aria-label="{escape(title)}">{drawn}</svg>'
    return f"<figure>{drawing}<figcaption>{caption}</figcaption></figure>"


def _across(share: float, first: float, last: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log(share / first) / math.log(last / first)


def _down(value: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)


def _band(rows: pl.DataFrame, name: str, across: list[float]) -> str:
    value, low, high = (rows[f"{name}{suffix}"].to_list() for suffix in ("", "_low", "_high"))
    upper = [f"{x:.1f},{_down(min(y, 1.0)):.1f}" for x, y in zip(across, high, strict=True)]
    lower = [f"{x:.1f},{_down(max(y, 0.0)):.1f}" for x, y in zip(across, low, strict=True)]
    line = " ".join(f"{x:.1f},{_down(y):.1f}" for x, y in zip(across, value, strict=True))
    colour = _COLOURS[name]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{_down(y):.1f}" r="3.5" fill="{colour}"><title>{_NAMES[name]}, share {share:.3g}: '
        f"{y:.3f} [{a:.3f}, {b:.3f}]</title></circle>"
        for x, y, a, b, share in zip(across, value, low, high, rows["share"], strict=True)
    )
    shape = " ".join([*upper, *reversed(lower)])
    return (f'<polygon points="{shape}" fill="{colour}" fill-opacity="0.16"/>'
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}')  # fmt: skip


def _axes(shares: list[float], across: list[float]) -> str:
    marks = ""
    for tenth in range(0, 11, 2):
        y = _down(tenth / 10)
        marks += _level(y, 'opacity="0.15"')
        marks += _text(_LEFT - 8, y + 4, f"{tenth / 10:.1f}", "end")
    last = -math.inf
    for share, x in zip(shares, across, strict=True):
        if x - last > 44:  # labels of near shares would stand on one another
            marks += _text(x, _HEIGHT - _BOTTOM + 18, f"{100 * share:.3g} %", "middle")
            last = x
    return marks + _text(_WIDTH / 2, _HEIGHT - 8, "share of the rare chain", "middle")


def _bound(bound: float) -> str:
    y = _down(bound)
    return _level(y, 'stroke-dasharray="5 4"') + _text(_WIDTH - _RIGHT, y - 5, f"Welch bound {bound:.4f}", "end")


def _level(y: float, style: str) -> str:
    """A line across the panel."""
    return f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" {style}/>'


def _legend(number: int, name: str) -> str:
    x = _LEFT + 150 * number
    return f'<circle cx="{x + 6}" cy="14" r="5" fill="{_COLOURS[name]}"/>{_text(x + 18, 18, _NAMES[name], "start")}'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {at} font-size="13" fill="currentColor">{escape(words)}</text>'
