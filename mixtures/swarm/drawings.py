"""Drawings of a swarm's page: plain SVG, all text escaped."""

from __future__ import annotations

from collections.abc import Mapping

from infra.render.html import escape
from mixtures.swarm.record import ShareRecord
from mixtures.swarm.solving.capped import Array

_SIDE, _PAD = 190, 26
_POINTS = 400  # drawn of one scatter
_BLUE, _GREY, _ORANGE = "#0072b2", "#8a94a6", "#d55e00"


def scatter(title: str, measured: Array, predicted: Array, rank: float) -> str:
    """Predicted over measured values of one target, with the diagonal; at most 400 runs are drawn, evenly chosen."""
    step = max(1, -(-len(measured) // _POINTS))
    low, high = float(min(measured.min(), predicted.min())), float(max(measured.max(), predicted.max()))
    unit = (_SIDE - 2 * _PAD) / ((high - low) or 1.0)
    dots = "".join(
        f'<circle cx="{_PAD + (x - low) * unit:.1f}" cy="{_SIDE - _PAD - (y - low) * unit:.1f}" r="2"/>'
        for x, y in zip(measured[::step].tolist(), predicted[::step].tolist(), strict=True)
    )
    end = _SIDE - _PAD
    diagonal = f'<line x1="{_PAD}" y1="{end}" x2="{end}" y2="{_PAD}" stroke="{_GREY}" stroke-dasharray="4 3"/>'
    ticks = f'<text x="{_PAD}" y="{_SIDE - 8}">{low:.3g}</text><text x="{end - 20}" y="{_SIDE - 8}">{high:.3g}</text>'
    head = f'<text x="{_PAD}" y="12">{escape(_short(title))}</text><text x="{_PAD}" y="24">Spearman {rank:.3f}</text>'
    name = f"<title>{escape(title)}: predicted (upwards) over measured</title>"
    body = f'{name}{diagonal}<g fill="{_BLUE}" fill-opacity="0.45">{dots}</g>{head}{ticks}'
    return f'<svg role="img" width="{_SIDE}" height="{_SIDE}" font-size="10" fill="currentColor">{body}</svg>'


def shares(rows: Mapping[str, ShareRecord]) -> str:
    """Bars of the optimum with its interval, and a mark at the natural share, component by component."""
    left, width, height = 240, 460, 22
    highest = max(max(share.high, share.natural) for share in rows.values()) or 1.0
    bars = (_bar(index * height, left, width / highest, name, rows[name]) for index, name in enumerate(rows))
    drawn = "".join(bars)
    size = f'width="{left + width + 70}" height="{len(rows) * height + 4}"'
    legend = "Optimum (bars, with its interval) beside the natural proportions (orange marks)"
    drawing = f'<svg role="img" {size} font-size="11" fill="currentColor">{drawn}</svg>'
    return f"<figure>{drawing}<figcaption>{legend}</figcaption></figure>"


def _bar(top: float, left: float, unit: float, name: str, share: ShareRecord) -> str:
    end = left + share.optimum * unit
    low, high, natural = (left + value * unit for value in (share.low, share.high, share.natural))
    middle = top + 11
    return (
        f'<text x="{left - 8}" y="{top + 15}" text-anchor="end">{escape(_short(name, 36))}</text>'
        f'<rect x="{left}" y="{top + 4}" width="{max(end - left, 0.5):.1f}" height="14" fill="{_BLUE}" '
        f'fill-opacity="0.6"/><line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="currentColor"/>'
        f'<line x1="{natural:.1f}" x2="{natural:.1f}" y1="{top + 2}" y2="{top + 20}" stroke="{_ORANGE}" '
        f'stroke-width="3"/><text x="{max(high, natural, end) + 6:.1f}" y="{top + 15}">{share.optimum:.1%}</text>'
    )


def _short(text: str, longest: int = 30) -> str:
    return text if len(text) <= longest else "…" + text[-(longest - 1) :]
