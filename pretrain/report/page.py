"""What `hormesis show` says about a pretraining run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from infra.artifacts.artifact import Artifact
from infra.render.page import Page, Table
from pretrain.files import LOG
from pretrain.metrics.jsonl import LogLine, read_log
from pretrain.metrics.summary import TrainSummary

_WIDTH, _HEIGHT, _MARGIN = 720, 300, 48  # pixels of the loss curve


def show(artifact: Artifact) -> Page:
    """Loss curve, held-out cross-entropies beside the unigram entropy, and what was trained."""
    summary = TrainSummary.read(artifact.path)
    lines = read_log(artifact.path / LOG)
    tables = result_tables(summary)
    return Page(f"pretraining: {artifact.path.name}", tables, loss_curve(lines))


def result_tables(summary: TrainSummary) -> tuple[Table, Table]:
    """What a finished run's `pretrain.json` says: cross-entropies on held-out documents, and the run itself."""
    return _held_out(summary), _facts(summary)


def _held_out(summary: TrainSummary) -> Table:
    columns = ("component", "tokens", "cross-entropy (nats)", "unigram", "risky tokens", "cross-entropy on risky")
    rows = tuple(
        (
            name,
            result.tokens,
            result.cross_entropy,
            result.unigram_cross_entropy,
            result.risky_tokens,
            result.risky_cross_entropy,
        )
        for name, result in summary.held_out.items()
    )
    return Table("Held-out documents", columns, rows)


def _facts(summary: TrainSummary) -> Table:
    names = (
        "parameters",
        "steps",
        "skipped_steps",
        "tokens",
        "loss_tokens",
        "tokens_per_second",
        "seconds",
        "device",
        "ranks",
    )
    rows = [(name.replace("_", " "), getattr(summary, name)) for name in names]
    rows += [(f"train cross-entropy, {name}", value) for name, value in summary.train_cross_entropy.items()]
    return Table("Run", ("what", "value"), tuple(rows))


def loss_curve(lines: Sequence[LogLine]) -> str:
    """Inline SVG of the training cross-entropy per component over tokens; '' for an empty log."""
    if not lines:
        return ""
    names = list(lines[0].cross_entropy)
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for line in lines:
        for name, nats in line.cross_entropy.items():
            if nats is not None:
                points[name].append((line.tokens, nats))
    heights = [y for values in points.values() for _, y in values]
    right, low, high = lines[-1].tokens, min(heights), max(heights)

    def to_pixels(x: float, y: float) -> str:
        across = _MARGIN + (_WIDTH - 2 * _MARGIN) * x / right
        down = _MARGIN + (_HEIGHT - 2 * _MARGIN) * (high - y) / (high - low or 1)
        return f"{across:.1f},{down:.1f}"

    drawn = ""
    for number, (name, values) in enumerate(points.items()):
        drawn += _line(number, name, [to_pixels(*point) for point in values])
    labels = (
        _text(4, _MARGIN, f"{high:.2f}")
        + _text(4, _HEIGHT - _MARGIN, f"{low:.2f}")
        + _text(_WIDTH - 2 * _MARGIN, _HEIGHT - 12, f"{right:,} tokens")
    )
    title = "<h2>Training cross-entropy (nats per token)</h2>"
    return f'{title}<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img">{drawn}{labels}</svg>'


def _line(number: int, name: str, points: list[str]) -> str:
    colour = f"hsl({(210 + 137 * number) % 360} 70% 42%)"
    curve = f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{" ".join(points)}"/>'
    return curve + _text(_MARGIN + 130 * number, 20, name, colour)


def _text(x: int, y: int, words: str, colour: str = "currentColor") -> str:
    return f'<text x="{x}" y="{y}" font-size="13" fill="{colour}">{escape(words)}</text>'
