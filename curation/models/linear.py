"""The model of `kind: linear`: logistic regressions on hashed words, pairs of words and letter runs, calibrated.

Each kind of feature is weighed by rarity and brought to length 1 by itself, so that a long text's many letter runs do
not outweigh its words. The second step is Platt's: a line through the logits of texts that were not learnt from.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sparse
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.special import expit

from curation.text.disguises import plain_spelling
from infra.artifacts.inputs import input_digests
from infra.atomic import atomic_path, write_json
from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS, MODEL = "linear.safetensors", "model.json"
WORD = r"[^\W_]+(?:[*'’][^\W_]+)*"
"""A word with the signs that stand for letters inside it."""
_WORDS = re.compile(WORD)
_KNOWN_BITS = 24  # of the table of known words: 2 MiB, and one unknown word in a hundred seems known


@dataclass(frozen=True)
class LinearModel:
    """`rarity` float32 [2 * 2**bits] and `weights` float32 [attributes, 2 * 2**bits]: words first, then letter runs.
    `known` uint8 [2**21]: a bit for each hash of a word that was learnt from.
    """

    attributes: tuple[str, ...]
    languages: tuple[str, ...]
    bias: tuple[float, ...]
    rarity: NDArray[np.float32]
    weights: NDArray[np.float32]
    known: NDArray[np.uint8]

    def scores(self, texts: list[str]) -> NDArray[np.float32]:
        """Probabilities [texts, attributes]."""
        spelt = list(map(plain_spelling, texts))
        scores: NDArray[np.float32] = expit(self.features.of(spelt) @ self.weights.T + np.array(self.bias))
        return scores.astype(np.float32)

    def known_words(self, text: str) -> tuple[int, int]:
        """How many of the text's words were learnt from, and how many there are."""
        columns = list(map(word_hash, words_of(plain_spelling(text))))
        return sum(bool(self.known[column >> 3] >> (column & 7) & 1) for column in columns), len(columns)

    @cached_property
    def features(self) -> Features:
        """Texts as rows."""
        return Features(len(self.rarity) // 2, self.rarity)

    def save(self, folder: Path) -> None:
        """Write both files."""
        tables = {"rarity": self.rarity, "weights": self.weights, "known": self.known}
        with atomic_path(folder / WEIGHTS) as temporary:
            save_file(tables, temporary)
        about = {"attributes": self.attributes, "languages": self.languages, "bias": self.bias}
        write_json(folder / MODEL, about)


@dataclass(frozen=True)
class Features:
    """Hashed features of texts in plain spelling: `size` columns for words, as many for letter runs."""

    size: int
    rarity: NDArray[np.float32]

    def of(self, texts: list[str]) -> Any:
        """Sparse float32 [texts, 2 * size]."""
        from sklearn.preprocessing import normalize

        blocks = []
        for number, hashed in enumerate(counted(texts, self.size)):
            hashed.data *= self.rarity[hashed.indices + number * self.size]  # in place: no second matrix of that size
            blocks.append(normalize(hashed, copy=False))
        return sparse.hstack(blocks, format="csr", dtype="float32")


def counted(texts: list[str], size: int) -> tuple[Any, Any]:
    """Which words and pairs of words, and which letter runs, stand in each text: sparse float32 ones [texts, size]."""
    from sklearn.feature_extraction.text import HashingVectorizer

    shared = {"n_features": size, "binary": True, "norm": None, "alternate_sign": False, "dtype": np.float32,
              "lowercase": False}  # fmt: skip
    words = HashingVectorizer(token_pattern=WORD, ngram_range=(1, 2), **shared)
    runs = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared)
    return words.transform(texts), runs.transform(texts)


def words_of(text: str) -> list[str]:
    """Words with a letter in them, in lower case."""
    return [word for word in _WORDS.findall(text.lower()) if not word.isnumeric()]


def word_hash(word: str) -> int:
    """Place of a word in `known`."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass")) & ((1 << _KNOWN_BITS) - 1)


def known_table(texts: Iterable[str]) -> NDArray[np.uint8]:
    """Bits of the words that stand in at least two texts."""

    counts = Counter(word for text in texts for word in set(words_of(text)))
    bits = np.zeros(1 << _KNOWN_BITS, dtype=np.uint8)
    bits[[word_hash(word) for word, count in counts.items() if count > 1]] = 1
    return np.packbits(bits, bitorder="little")


def load_linear(folder: str) -> LinearModel:
    """The model in an artifact's folder. Raises InputError where there is none."""
    try:
        about = json.loads(Path(folder, MODEL).read_text(encoding="utf-8"))
        tables = load_file(Path(folder, WEIGHTS))
        return LinearModel(tuple(about["attributes"]), tuple(about["languages"]), tuple(about["bias"]),
                           tables["rarity"], tables["weights"], tables["known"])  # fmt: skip
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder}: no linear scorer ({error}); `kind: linear` makes one") from None


def linear_digests(folder: str) -> list[str]:
    """Checksums of the model's files. Raises InputError where there are none."""
    files = [Path(folder, name) for name in (WEIGHTS, MODEL)]
    if missing := [file for file in files if not file.is_file()]:
        raise InputError(f"{missing[0]}: no such file; `kind: linear` makes a linear scorer")
    return input_digests(files)
