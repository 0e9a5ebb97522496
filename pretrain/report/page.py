"""What `hormesis show` says about a pretraining run."""

from __future__ import annotations

from collections.abc import Sequence

from infra.artifacts.artifact import Artifact
from infra.render.curves import curves
from infra.render.page import Page, Table
from pretrain.files import LOG
from pretrain.metrics.jsonl import LogLine, read_log
from pretrain.metrics.summary import TrainSummary


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
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in lines[0].cross_entropy}
    for line in lines:
        for name, nats in line.cross_entropy.items():
            if nats is not None:
                points[name].append((line.tokens, nats))
    return curves("Training cross-entropy (nats per token)", points, f"{lines[-1].tokens:,} tokens")
