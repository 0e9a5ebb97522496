"""`pretrain.json`: what a finished training came to. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.records import JsonObject, read_record
from pretrain.files import SUMMARY


@dataclass(frozen=True)
class HeldOutCrossEntropy:
    """Nats per token over the held-out documents of one component, and over the risky tokens of them (None: there are
    none), with the number of both. `unigram_cross_entropy` is what a model without context would reach.
    """

    cross_entropy: float
    tokens: int
    risky_cross_entropy: float | None
    risky_tokens: int
    unigram_cross_entropy: float | None = None


@dataclass(frozen=True)
class TrainSummary:
    """A finished training. Tokens are targets; cross-entropies are in nats per token, by component."""

    steps: int
    skipped_steps: int
    parameters: int
    tokens: int
    loss_tokens: int
    tokens_by_component: dict[str, int]
    cross_entropy: dict[str, float]
    held_out: dict[str, HeldOutCrossEntropy]
    train_cross_entropy: dict[str, float | None]
    tokens_per_second: float
    seconds: float
    device: str
    ranks: int

    @classmethod
    def read(cls, folder: Path) -> TrainSummary:
        """That of the training in `folder`. Raises ArtifactError, which names the file and what is wrong with it."""
        return read_record(cls, folder / SUMMARY)

    @property
    def counts(self) -> JsonObject:
        """What `artifact.json` says of it."""
        return {
            "parameters": self.parameters,
            "steps": self.steps,
            "skipped_steps": self.skipped_steps,
            "tokens": self.tokens,
            "loss_tokens": self.loss_tokens,
            "cross_entropy": {**self.cross_entropy},
        }
