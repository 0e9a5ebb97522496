"""A linear model of hashed letter runs that gives logits: what a distilled scorer is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.artifacts.inputs import input_digests
from infra.atomic import atomic_path, write_json
from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS, RARITY, MODEL = "weights.npy", "rarity.npy", "model.json"
_CLIP = 1e-3  # scores nearer to 0 or 1 than this teach no more: a gate need not tell 1e-5 from 1e-4


@dataclass(frozen=True)
class Student:
    """`weights` float32 [2**hash_bits, attributes], `bias` one number an attribute, `rarity` float32 [2**hash_bits]."""

    attributes: tuple[str, ...]
    ngrams: tuple[int, int]
    bias: tuple[float, ...]
    weights: NDArray[np.float32]
    rarity: NDArray[np.float32]

    def scores(self, texts: list[str]) -> NDArray[np.float32]:
        """[texts, attributes] in (0, 1)."""
        from scipy.special import expit

        logits = _weighed(self._runs.transform(texts), self.rarity) @ self.weights + np.array(self.bias)
        scores: NDArray[np.float32] = expit(logits).astype(np.float32)
        return scores

    @cached_property
    def _runs(self) -> Any:
        return _runs(self.ngrams, len(self.weights))

    def save(self, folder: Path) -> None:
        """Write the three files of the model."""
        for name, array in ((WEIGHTS, self.weights), (RARITY, self.rarity)):
            with atomic_path(folder / name) as path, open(path, "wb") as file:
                np.save(file, array, allow_pickle=False)
        record = {"attributes": self.attributes, "ngrams": self.ngrams, "bias": self.bias}
        write_json(folder / MODEL, record)


def fit(
    texts: list[str], scores: NDArray[np.float32], attributes: tuple[str, ...], ngrams: tuple[int, int], bits: int,
    penalty: float,
) -> Student:  # fmt: skip
    """Ridge regression on the logits of the teacher's `scores` [texts, attributes].

    Logits, not verdicts: a gate is as good as its order of the doubtful texts, which verdicts say nothing about.
    """
    from scipy.special import logit
    from sklearn.linear_model import Ridge

    runs = _runs(ngrams, 2**bits).transform(texts)
    rarity = (np.log((1 + len(texts)) / (1 + runs.getnnz(axis=0))) + 1).astype(np.float32)  # smoothed idf
    fitted = Ridge(alpha=penalty, solver="sparse_cg")
    fitted.fit(_weighed(runs, rarity), logit(scores.clip(_CLIP, 1 - _CLIP).astype(np.float64)))
    weights = np.atleast_2d(fitted.coef_).T.astype(np.float32)
    return Student(attributes, ngrams, tuple(np.atleast_1d(fitted.intercept_).tolist()), weights, rarity)


def load_student(folder: str) -> Student:
    """The student in an artifact's folder. Raises InputError where there is none."""
    try:
        record = json.loads(Path(folder, MODEL).read_text(encoding="utf-8"))
        weights, rarity = (np.load(Path(folder, name), allow_pickle=False) for name in (WEIGHTS, RARITY))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no distilled scorer ({error}); `kind: distillation` makes one") from None
    return Student(tuple(record["attributes"]), tuple(record["ngrams"]), tuple(record["bias"]), weights, rarity)


def student_digests(folder: str) -> list[str]:
    """Checksums of the model's files. Raises InputError where there are none."""
    files = [Path(folder, name) for name in (WEIGHTS, RARITY, MODEL)]
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"{missing[0]}: no such file; `kind: distillation` makes a distilled scorer")
    return input_digests(files)


def _runs(ngrams: tuple[int, int], size: int) -> Any:
    """Which letter runs a text has: a sparse row of ones."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        analyzer="char_wb", ngram_range=ngrams, n_features=size, binary=True, norm=None, alternate_sign=False
    )


def _weighed(runs: Any, rarity: NDArray[np.float32]) -> Any:
    """Rare runs weigh more; every text has length 1."""
    from sklearn.preprocessing import normalize

    runs.data = rarity[runs.indices]
    return normalize(runs, copy=False)
