"""Which samples of a step broke it, and which documents they are made of."""

from __future__ import annotations

import math

import torch.distributed as dist

from mixtures.reading.built import BuiltMixture
from mixtures.reading.origins import Origin, origin
from pretrain.data.epoch import Batches
from pretrain.training.trainer import Trainer

_SAMPLES = 3  # of a step, named in the message
_DOCUMENTS = 3  # of a sample


def offenders(trainer: Trainer, batches: Batches, step: int, mixture: BuiltMixture) -> list[str]:
    """A line for each of the worst samples of step `step` of an epoch: its loss, and the documents in it.

    Worst are those whose cross-entropy is not finite, then those with the highest. Collective; the weights must be
    those that the step met.
    """
    losses = _losses_by_sample(trainer, batches, step)
    worst = sorted(losses, key=lambda sample: _rank(losses[sample]))[:_SAMPLES]
    return [f"sample {sample}, {losses[sample]:.4g} nats: {_documents(batches, sample, mixture)}" for sample in worst]


def _rank(loss: float) -> tuple[bool, float]:
    return (True, -loss) if math.isfinite(loss) else (False, 0.0)


def _losses_by_sample(trainer: Trainer, batches: Batches, step: int) -> dict[int, float]:
    """Summed cross-entropy of every sample of a step; ranks that share a sequence have a part of it each."""
    parts: list[dict[int, float]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, dict(zip(batches.samples(step), trainer.row_losses(batches, step), strict=False)))
    losses: dict[int, float] = {}
    for part in parts:
        for sample, loss in part.items():
            losses[sample] = losses.get(sample, 0.0) + loss
    return losses


def _documents(batches: Batches, sample: int, mixture: BuiltMixture) -> str:
    names = [files.name for files in mixture.components]
    runs = batches.dataset.runs(sample)
    found = [origin(mixture, names[run.component], run.position) for run in runs[:_DOCUMENTS]]
    more = len(runs) - _DOCUMENTS
    return "; ".join(map(_name, found)) + (f" and {more} more documents" if more > 0 else "")


def _name(found: Origin) -> str:
    where = f"component {found.component!r}, corpus {found.corpus}, {found.shard}, row {found.row}"
    return f"document {found.id!r} ({where}) from its token {found.token}"
