"""What the scorers share whose model was trained here: an artifact's folder, its model and its checksums."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, Self, TypeVar

from curation.scorers.base import Scorer
from curation.scorers.options import StoredScorerSpec
from infra.artifacts.fingerprint import digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class StoredModel(Protocol):
    """A model as the artifact holds it."""

    @property
    def attributes(self) -> tuple[str, ...]: ...

    def scores(self, texts: list[str]) -> NDArray[np.float32]:
        """Probabilities [texts, attributes]."""


M = TypeVar("M", bound=StoredModel)


class StoredScorer(Scorer, Generic[M]):
    """Probabilities of a stored model's attributes."""

    kind: ClassVar[str]
    """First word of the scorer's identity."""

    def __init__(self, spec: StoredScorerSpec, model: M) -> None:
        self._model = model
        self.attributes = model.attributes
        self.identity = f"{self.kind}@{self.weights(spec)[:12]}"

    @classmethod
    def load(cls, spec: StoredScorerSpec) -> Self:
        """Load the model. Raises InputError where there is none."""
        return cls(spec, cls.model(spec.path))

    @classmethod
    def weights(cls, spec: StoredScorerSpec) -> str:
        """SHA-256 over the model's files."""
        return digest(cls.digests(spec.path))

    @staticmethod
    @abstractmethod
    def model(folder: str) -> M:
        """The model in a folder. Raises InputError where there is none."""

    @staticmethod
    @abstractmethod
    def digests(folder: str) -> list[str]:
        """Checksums of the model's files. Raises InputError where there are none."""

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        return self._model.scores(texts)
