"""Which samples of a step broke it, and which documents they are made of."""

from __future__ import annotations

import itertools
import math

import torch.distributed as dist

from mixtures.reading.built import BuiltMixture
from mixtures.reading.origins import Origin
from pretrain.data.document_ranges import document_ranges
from pretrain.data.epoch import Batches
from pretrain.training.trainer import Trainer

_SAMPLES = 3  # of a step, named in the message
_DOCUMENTS = 3  # of a sample


def offenders(trainer: Trainer, batches: Batches, step: int, taken: int, mixture: BuiltMixture) -> list[str]:
    """A line for each of the worst samples of step `step` of an epoch, the run's after `taken`: its loss, and the
    documents in it.

    Worst are those whose cross-entropy is not finite, then those with the highest. Collective; the weights must be
    those that the step met.
    """
    losses = _losses_by_sample(trainer, batches, step, taken)
    worst = sorted(losses, key=lambda sample: _badness(losses[sample]), reverse=True)[:_SAMPLES]
    return [f"sample {sample}, {losses[sample]:.4g} nats: {_documents(batches, sample, mixture)}" for sample in worst]


def _badness(loss: float) -> float:
    """NaN has no order, so that it would not sort."""
    return loss if math.isfinite(loss) else math.inf


def _losses_by_sample(trainer: Trainer, batches: Batches, step: int, taken: int) -> dict[int, float]:
    """Summed cross-entropy of every sample of a step; of ranks that share a sequence, every one has a share of it."""
    samples = itertools.chain.from_iterable(batches.micro_batches(step))
    losses = dict(zip(samples, trainer.row_losses(batches, step, taken), strict=False))  # rows behind them are padding
    by_rank: list[dict[int, float]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(by_rank, losses)
    total: dict[int, float] = {}
    for losses_of_rank in by_rank:
        for sample, loss in losses_of_rank.items():
            total[sample] = total.get(sample, 0.0) + loss
    return total


def _documents(batches: Batches, sample: int, mixture: BuiltMixture) -> str:
    ranges = batches.dataset.target_ranges(sample)
    named = "; ".join(_named(document.origin) for document in document_ranges(mixture, ranges[:_DOCUMENTS]))
    more = len(ranges) - _DOCUMENTS
    return named + (f" and {more} more documents" if more > 0 else "")


def _named(origin: Origin) -> str:
    where = f"component {origin.component!r}, corpus {origin.corpus}, {origin.shard}, row {origin.row}"
    return f"document {origin.id!r} ({where}) from its token {origin.token}"
