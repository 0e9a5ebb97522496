"""tune.json: what a tuning was made of and came to. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.records import JsonObject, read_record

SUMMARY = "tune.json"


@dataclass(frozen=True)
class TuneSummary:
    """Losses in nats, means over the first and the last interval of the log; `left_out` by reason.

    `steps_to_relearn`: after how many steps an attack had toxicity back; None where it had not, and of other methods.
    """

    method: str
    examples: int
    tokens_per_epoch: int
    loss_tokens_per_epoch: int
    steps: int
    left_out: dict[str, int]
    first_loss: float | None = None
    last_loss: float | None = None
    steps_to_relearn: int | None = None

    @staticmethod
    def read(folder: Path) -> TuneSummary:
        """Of an artifact. Raises ArtifactError."""
        return read_record(TuneSummary, folder / SUMMARY)

    @property
    def counts(self) -> JsonObject:
        """Those that are one number or word, for the artifact."""
        return {name: value for name, value in vars(self).items() if isinstance(value, (int, float, str))}
