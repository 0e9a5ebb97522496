"""What a mixture's page draws: its composition as one bar, and the risk of each component's tokens as a histogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.render.html import escape
from mixtures.formats import risk
from mixtures.reading.manifest import ComponentRecord

_PER_BAR = 11  # risk bytes, 1.04 in logit; 23 bars in all
_WIDTH, _HEIGHT, _AXIS = 20, 110, 18  # of a bar, of the bars, of what stands below them
_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_DECADES = 6  # shares below a millionth of the tokens are not drawn


def composition_bar(records: Sequence[ComponentRecord]) -> str:
    """All training tokens as one bar, a colour a component, the largest share with the strongest colour."""
    total = sum(record.tokens for record in records) or 1
    pieces, labels = [], []
    for number, record in enumerate(records):
        share, colour = record.tokens / total, f"hsl({(210 + 137 * number) % 360} 55% 50%)"
        label = f"{escape(record.name)} {share:.2%}"
        pieces.append(f'<span style="width:{share:.4%};background:{colour}" title="{label}"></span>')
        labels.append(f'<span><i style="background:{colour}"></i>{label}, {record.tokens:,} tokens</span>')
    return f"<div class=shares>{''.join(pieces)}</div><p class=legend>{''.join(labels)}</p>"


def risk_histogram(record: ComponentRecord, attribute: str | None) -> str:
    """Tokens of a component by score: logit across, decades of their share upwards, so that rare risk is seen.

    Tokens at or below the tagger's floor, unscored and structural ones are told in words.
    """
    counts = np.asarray(record.risk_histogram, np.int64)
    levels = counts[risk.LOWEST + 1 : risk.HIGHEST + 1]
    bars = np.add.reduceat(levels, np.arange(0, len(levels), _PER_BAR))
    total = int(counts.sum()) or 1
    drawn = "".join(_bar(index, int(count), total) for index, count in enumerate(bars) if count)
    ticks = "".join(_tick(score) for score in _TICKS)
    width = _WIDTH * len(bars)
    box = f'viewBox="0 0 {width} {_HEIGHT + _AXIS}" width="{width}" height="{_HEIGHT + _AXIS}" role="img"'
    base = f'<line x1="0" x2="{width}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="currentColor" stroke-opacity=".3"/>'
    caption = f"<b>{escape(record.name)}</b>: {_words(counts, total)}; by {escape(attribute or 'risk')}, log scale"
    return (
        f'<figure><figcaption>{caption}</figcaption><svg {box} fill="currentColor">{drawn}{base}{ticks}</svg></figure>'
    )


def _bar(index: int, count: int, total: int) -> str:
    first = risk.LOWEST + 1 + index * _PER_BAR
    low, high = risk.decode(np.array([first, min(first + _PER_BAR - 1, risk.HIGHEST)], np.uint8))
    height = max(2.0, _HEIGHT * (1 + np.log10(count / total) / _DECADES))
    colour = f"rgb(214 40 40 / {25 + 75 * float(high):.0f}%)"
    title = f"{low:.2g} to {high:.2g}: {count:,} tokens, {count / total:.2g} of all"
    return (f'<rect x="{index * _WIDTH + 1}" y="{_HEIGHT - height:.1f}" width="{_WIDTH - 2}" height="{height:.1f}" '
            f'fill="{colour}"><title>{title}</title></rect>')  # fmt: skip


def _tick(score: float) -> str:
    across = (int(risk.encode(score)) - risk.LOWEST - 1) * _WIDTH / _PER_BAR
    return f'<text x="{across:.1f}" y="{_HEIGHT + _AXIS - 4}" font-size="12" text-anchor="middle">{score:g}</text>'


def _words(counts: np.ndarray[Any, Any], total: int) -> str:
    """The tokens that have no bar."""
    labels = {"at or below the floor": risk.LOWEST, "unscored": risk.UNSCORED, "structural": risk.STRUCTURAL}
    phrases = [f"{counts[level] / total:.2%} {name}" for name, level in labels.items() if counts[level]]
    return f"{int(counts.sum()):,} tokens, {', '.join(phrases)}"
