"""The gate of a token model: does this stretch of text hold a span at all? Words of a stretch that does not score 0.

The last step of a token model sees words beside words, and so it marks the worst word of any text, be it "gay" in a
clean story. The gate sees the stretch: a linear model of its words and letter runs, and the highest logits in it, go
through a logistic regression. A long document is judged in short stretches, so that its harmless rest does not cover
an insult.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from curation.models.linear import Features
from curation.text.disguises import plain_spelling
from curation.text.passages import stretches
from curation.text.words import word_spans
from infra.errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FILE = "gate.safetensors"
_LOWEST, _HIGHEST = -8.0, 16.0  # logits are cut to this range; the lower end also stands for "there is no such word"


@dataclass(frozen=True)
class Stretch:
    """A piece of a text, and which of the text's words stand in it: [first, end)."""

    text: str
    first: int
    end: int


@dataclass(frozen=True)
class Gate:
    """`rarity` and `table` float32 [2 * 2**bits] of words and letter runs, and the last step: `weights` for the columns
    of `stretch_columns`. A stretch of at most `longest` characters whose probability of a span is below `cut` holds
    none.
    """

    rarity: NDArray[np.float32]
    table: NDArray[np.float32]
    weights: tuple[float, ...]
    offset: float
    cut: float
    longest: int

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> Gate:
        """Load what `save` wrote; `settings` is what `settings` returned then. Raises ArtifactError."""
        try:
            tables = load_file(folder / _FILE)
            return cls(tables["rarity"], tables["table"], tuple(settings["weights"]), settings["offset"],
                       settings["cut"], settings["longest"])  # fmt: skip
        except (OSError, SafetensorError, KeyError) as error:
            raise ArtifactError(f"{folder / _FILE}: cannot be loaded: {error}; train the tagger again") from None

    def save(self, folder: Path) -> None:
        """One safetensors file."""
        save_file({"rarity": self.rarity, "table": self.table}, folder / _FILE)

    def settings(self) -> dict[str, Any]:
        """What is no table."""
        return {"weights": list(self.weights), "offset": self.offset, "cut": self.cut, "longest": self.longest}

    def chances(self, texts: list[str], logits: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
        """For each word of each text the probability that its stretch holds a span; `logits` [words] of each text."""
        pieces = [list(stretches_of(text, self.longest)) for text in texts]
        columns = stretch_columns(pieces, logits, self.rarity, self.table)
        total = np.full(len(columns), self.offset)
        for column, weight in zip(columns.T, self.weights, strict=True):
            total += weight * column  # one after the other: a matrix product rounds differently for other shapes
        answers = iter(expit(total).tolist())
        return [np.repeat([next(answers) for _ in row], [piece.end - piece.first for piece in row]) for row in pieces]

    def applied(
        self, texts: list[str], logits: list[NDArray[np.float64]], scores: list[NDArray[np.float32]], floor: float
    ) -> list[NDArray[np.float32]]:
        """`scores` [words] of each text, with 0 where the stretch holds no span. Texts below `floor` are not asked."""
        numbers = [number for number, words in enumerate(scores) if words.max(initial=0) >= floor and len(words)]
        chances = self.chances([texts[number] for number in numbers], [logits[number] for number in numbers])
        gated = list(scores)
        for number, chance in zip(numbers, chances, strict=True):
            gated[number] = np.where(chance < self.cut, np.float32(0), scores[number])
        return gated


def stretches_of(text: str, longest: int) -> Iterator[Stretch]:
    """The stretches of at most `longest` characters that hold words; a word belongs to the one that it begins in."""
    starts = [start for start, _ in word_spans(text)]
    for start, end in stretches(text, longest):
        first, last = np.searchsorted(starts, (start, end)).tolist()
        if first < last:
            yield Stretch(text[start:end], first, last)


def stretch_columns(
    pieces: list[list[Stretch]], logits: list[NDArray[np.float64]], rarity: NDArray[np.float32],
    table: NDArray[np.float32],
) -> NDArray[np.float64]:  # fmt: skip
    """What the last step sees of each stretch [stretches, 8], texts one after the other."""
    features = Features(len(rarity) // 2, rarity)
    spelt = [plain_spelling(piece.text) for row in pieces for piece in row]
    stretch_logits = features.of(spelt) @ table if spelt else np.zeros(0)
    heights = [_heights(words[piece.first : piece.end])
               for row, words in zip(pieces, logits, strict=True) for piece in row]  # fmt: skip
    return np.column_stack([stretch_logits, np.array(heights).reshape(len(spelt), 7)])


def _heights(logits: NDArray[np.float64]) -> list[float]:
    """The three highest logits, the first of them also bent at -1 and at 1; expected marked words; words."""
    logits = np.clip(logits, _LOWEST, _HIGHEST)
    first, second, third = [*np.sort(logits)[::-1][:3].tolist(), _LOWEST, _LOWEST][:3]
    expected = (1 / (1 + np.exp(-logits))).sum()
    return [first, max(first, -1.0), max(first, 1.0), second, third, float(np.log1p(expected)),
            float(np.log1p(len(logits)))]  # fmt: skip
