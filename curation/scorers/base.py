"""What a scorer is: texts in, one number in [0, 1] per text and attribute out, or an error. Never a silent zero."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from curation.scorers.options import ScorerSpec
from infra.artifacts.artifact import version_of
from infra.errors import ScoringError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.models.calibration import Calibration


@dataclass(frozen=True)
class Card:
    """What must be known of a scorer wherever its scores are shown; known without loading it."""

    languages: tuple[str, ...]
    """Languages (ISO 639-1) that its scores mean something in; empty where nobody has said."""
    blind_spots: str
    """A sentence on what it does not see or wrongly sees, with figures where there are some."""


class Scorer(ABC):
    """A loaded scorer. Subclasses set `options`, fill `attributes` and `identity`, and implement `_raw_scores`."""

    options: ClassVar[type[ScorerSpec]]
    """The YAML section of this scorer."""
    attributes: tuple[str, ...]
    """What the columns of a score mean."""
    identity: str
    """Name and weights."""
    library: ClassVar[str] = "hormesis"
    """Package whose code computes the scores."""
    documents_together: int = 256
    """Documents that a step hands over together, at most."""
    texts_together: int = 8192
    """Texts that it likes to get together, at most: with 200 characters each, under 2 MB."""
    _calibration: Calibration | None = None

    @classmethod
    @abstractmethod
    def load(cls, spec: Any) -> Scorer:
        """Load the weights. Raises UnavailableError with advice when they cannot be had."""

    @classmethod
    @abstractmethod
    def weights(cls, spec: Any) -> str:
        """Checksum of the weights that `spec` means and of the options that change scores, for fingerprints."""

    @classmethod
    def resolved(cls, spec: Any) -> Any:
        """`spec` with what depends on the machine made definite, to be asked once where texts are scored, and sent to
        all workers.
        """
        return spec

    @classmethod
    def deferred(cls, spec: Any) -> Any:
        """`spec` with what depends on the machine marked as the workers' to say, for a machine that does not score."""
        return spec

    @classmethod
    def possible(cls, spec: Any) -> list[Any]:
        """What a worker may make of `spec` when it has been deferred; else `spec`."""
        return [spec]

    @property
    def full_identity(self) -> str:
        """Name and weights with the library and its version, for results that must say what scored them."""
        return f"{self.identity} ({self.library} {version_of(self.library)})"

    @staticmethod
    @abstractmethod
    def card(spec: Any) -> Card:
        """Languages and blind spots."""

    @abstractmethod
    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        """Scores [n, attributes]; may raise anything."""

    def known_words(self, text: str) -> tuple[int, int]:
        """How many words of a text the scorer was taught with, and how many there are; (0, 0) where nobody can tell."""
        return 0, 0

    def calibrate(self, calibration: Calibration) -> None:
        """From now on give scores on the scale of the calibration's reference."""
        self._calibration = calibration
        self.identity = f"{self.identity}+{calibration.fingerprint[:12]}"

    def score(self, texts: list[str]) -> NDArray[np.float32]:
        """Score texts: float32 [n, attributes], every number finite and in [0, 1].

        Raises ScoringError when the scorer fails or returns anything else; a text is never given a score it did not
        get.
        """
        return self._sound(texts, lambda: self._raw_scores(texts) if texts else np.zeros((0, len(self.attributes))))

    def score_all(self, chunks: Iterable[list[str]]) -> Iterator[NDArray[np.float32]]:
        """Score chunks of texts, none of them empty: what `score` gives for each, in order. Some chunks more may be
        taken from `chunks` than have come out: a scorer on a GPU works ahead.
        """
        for texts in chunks:
            yield self.score(texts)

    def _sound(self, texts: list[str], compute: Callable[[], Any]) -> NDArray[np.float32]:
        """What `compute` returns for `texts`, checked and calibrated. Raises ScoringError."""
        try:
            scores = np.asarray(compute(), np.float32)
        except Exception as error:
            raise ScoringError(f"scorer {self.identity} failed: {type(error).__name__}: {error}") from error
        if scores.shape != (len(texts), len(self.attributes)):
            raise ScoringError(f"scorer {self.identity} gave shape {scores.shape} for {len(texts)} texts")
        wrong = ~np.isfinite(scores) | (scores < 0) | (scores > 1)
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            gave = f"{self.attributes[column]} = {scores[row, column]}"
            raise ScoringError(f"scorer {self.identity} gave {gave} for a text of {len(texts[row])} characters")
        return self._calibration.apply(scores, self.attributes) if self._calibration else scores
