"""Cross-entropy on the held-out documents, beside the unigram entropy that a model without context would reach."""

from __future__ import annotations

import contextlib

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from mixtures.formats.risk import STRUCTURAL, threshold_byte
from mixtures.reading.built import BuiltMixture, TokenFiles
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.data.prefetch import read_ahead
from pretrain.data.token_files import ComponentFiles
from pretrain.metrics.summary import HeldOutCrossEntropy
from pretrain.runtime.distributed import data_parallel
from pretrain.spec import PretrainSpec
from pretrain.training.trainer import Trainer

RISKY = 0.5  # at or above this score a target counts as risky in the tables
_SAMPLED = 50_000_000  # tokens of a component that the unigram distribution is counted over


def held_out_cross_entropy(
    trainer: Trainer, mixture: BuiltMixture, spec: PretrainSpec, settings: DataSettings, *, unigram: bool = False
) -> dict[str, HeldOutCrossEntropy]:
    """Cross-entropy in nats per token on each component's held-out documents, every token a target once. Collective.

    Windows are packed as in training: documents follow each other, with attention reset or not. No policy applies:
    risky tokens count like all others, and once more apart. `unigram` adds the cross-entropy of a model that knows how
    often each token occurs, on rank 0.
    """
    log_probabilities = unigram_log_probabilities(mixture) if unigram and dist.get_rank() == 0 else None
    results: dict[str, HeldOutCrossEntropy] = {}
    for files in mixture.held_out:
        dataset = build_epoch([ComponentFiles.from_pair(files)], settings, spec.seed)
        batches = Batches(dataset, spec.global_batch_size, spec.micro_batch_size, *data_parallel())
        with contextlib.closing(read_ahead(batches, trainer.device)) as ahead:
            by_risk = trainer.evaluate(ahead)
        unigram_nats = None
        if log_probabilities is not None:
            counts = _counts(files, len(log_probabilities))
            unigram_nats = float(-(counts * log_probabilities).sum() / counts.sum())
        results[files.name] = _means(by_risk, unigram_nats)
    return results


def _means(by_risk: Tensor, unigram: float | None) -> HeldOutCrossEntropy:
    """Means over all targets and over the risky ones; `by_risk` is [2, 256]: nats and counts by risk byte."""
    risky = by_risk[:, threshold_byte(RISKY) : STRUCTURAL].sum(1)
    nats, tokens = by_risk.sum(1).tolist()
    risky_nats, risky_tokens = risky.tolist()
    return HeldOutCrossEntropy(
        cross_entropy=nats / tokens,
        tokens=int(tokens),
        risky_cross_entropy=risky_nats / risky_tokens if risky_tokens else None,
        risky_tokens=int(risky_tokens),
        unigram_cross_entropy=unigram,
    )


def unigram_log_probabilities(mixture: BuiltMixture) -> NDArray[np.float64]:
    """Log-probability of every token id, [vocabulary], from the training tokens, one count added to each id."""
    counts = np.ones(mixture.facts.vocab_size)
    for files in mixture.components:
        counts += _counts(files, mixture.facts.vocab_size)
    return np.log(counts / counts.sum())


def _counts(files: TokenFiles, vocab_size: int) -> NDArray[np.int64]:
    """How often each token id is a target, [vocabulary], in the first _SAMPLED tokens."""
    tokens, levels = files.open()
    targets = tokens.tokens[:_SAMPLED][levels.tokens[:_SAMPLED] != STRUCTURAL]
    return np.bincount(targets, minlength=vocab_size)
