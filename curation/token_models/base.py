"""What a trained token model is: texts in, a probability for each word out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from curation.token_models.gate import Gate


class WordScores(NamedTuple):
    """`spans`: [start, end) of each word of a text in code points; `scores`: float32 [words] in [0, 1]."""

    spans: list[tuple[int, int]]
    scores: NDArray[np.float32]


class TokenModel(ABC):
    """A model of one attribute. A word's score depends on its text alone, not on what else is in the batch (the
    transformer: up to the rounding that its file states).
    """

    name: ClassVar[str]
    """As in YAML."""
    gate: Gate | None = None
    """Words of a stretch in which it sees no span score 0."""

    @abstractmethod
    def score(self, texts: list[str], floor: float = 0.0) -> list[WordScores]:
        """Words of each text that score at or above `floor`, in order."""

    @abstractmethod
    def word_logits(self, texts: list[str]) -> list[NDArray[np.float64]]:
        """For each text the logits [words] before the last step: what a gate sees of them."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `load` needs beside the files, as plain data."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TokenModel:
        """Load what `save` wrote. Raises ArtifactError."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the weights into an artifact's folder."""
