"""What a page draws and a terminal cannot: histograms, bars, shaded shares. All as inline SVG or HTML."""

from __future__ import annotations

from curation.corpus.risk_levels import THRESHOLDS
from curation.corpus.summary import BINS
from curation.show.tables import Manifest, Share, percent, removed_of
from infra.render.html import escape

_BAR = 18  # rem, of all documents that were read
_WIDTH, _HEIGHT, _AXIS = 20, 100, 16  # of a histogram's bin, its bars, its axis


def histogram(attribute: str, counts: list[int]) -> str:
    """Bars over [0, 1]; heights are square roots, so that rare high scores stay visible."""
    tallest = max(counts) ** 0.5 or 1.0
    bars = []
    for index, count in enumerate(counts):
        height = _HEIGHT * count**0.5 / tallest
        label = f"{index / BINS:.2f} to {(index + 1) / BINS:.2f}: {count:,}"
        colour = ' fill="rgb(214 40 40)"' if index >= BINS // 2 else ""
        bars.append(f'<rect x="{index * _WIDTH}" y="{_HEIGHT - height:.1f}" width="{_WIDTH - 2}" '
                    f'height="{height:.1f}"{colour}><title>{label}</title></rect>')  # fmt: skip
    anchors = zip((0, 0.5, 1), ("start", "middle", "end"), strict=True)
    axis = "".join(f'<text x="{at * BINS * _WIDTH}" y="{_HEIGHT + _AXIS - 2}" font-size="14" text-anchor="{anchor}">'
                   f"{at:g}</text>" for at, anchor in anchors)  # fmt: skip
    box = f'viewBox="0 0 {BINS * _WIDTH} {_HEIGHT + _AXIS}" width="400" height="{_HEIGHT + _AXIS}" role="img"'
    caption = f"{escape(attribute)}: {sum(counts):,} documents by score (square-root scale)"
    drawn = f'<svg {box} fill="currentColor">{"".join(bars)}{axis}</svg>'
    return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def fate(corpus: Manifest) -> str:
    """What became of the documents that were read, as bars: removed by each step, then those kept."""
    remaining = corpus["documents"]
    read = remaining + removed_of(corpus)
    lost = [(step, sum(reasons.values()), "bar lost") for step, reasons in corpus["removed"].items()]
    rows = "".join(_fate_row(name, count, read, style) for name, count, style in [*lost, ("kept", remaining, "bar")])
    head = "<thead><tr><th>step</th><th>documents</th><th></th><th>share of what was read</th></tr></thead>"
    return (
        f"<div class=scroll><table><caption>{read:,} documents read</caption>{head}<tbody>{rows}</tbody></table></div>"
    )


def _fate_row(name: str, count: int, read: int, style: str) -> str:
    bar = f'<span class="{style}" style="width:{_BAR * count / read:.3f}rem"></span>'
    return (f"<tr><td>{escape(name)}</td><td class=n>{count:,}</td><td class=n>{percent(count / read)}</td>"
            f"<td>{bar}</td></tr>")  # fmt: skip


def shaded(shares: list[Share], what: str, caption: str) -> str:
    """Shares by source, attribute and threshold; the larger, the redder (by square root)."""
    thresholds = "".join(f"<th>{threshold:g}</th>" for threshold in THRESHOLDS)
    rows = "".join(_shaded_row(share) for share in shares)
    head = f"<tr><th>source</th><th>attribute</th><th>{what}</th>{thresholds}</tr>"
    return (f"<div class=scroll><table class=shade><caption>{escape(caption)}</caption><thead>{head}</thead>"
            f"<tbody>{rows}</tbody></table></div>")  # fmt: skip


def _shaded_row(share: Share) -> str:
    cells = "".join(f'<td class=n style="--risk:{value**0.5:.3f}">{percent(value)}</td>' for value in share.shares)
    return (f"<tr><td>{escape(share.source)}</td><td>{escape(share.attribute)}</td><td class=n>{share.total:,}</td>"
            f"{cells}</tr>")  # fmt: skip
