"""fastText models: loaded with care, asked for the probability of labels, and trained so that a repeat is equal.

Of the bindings that install the module `fasttext`, only fasttext-community works with numpy 2 (of the others:
messense/fasttext-wheel issue 10) and trains without NaN.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from curation.classify.folders import digest_model_file
from infra.atomic import atomic_path
from infra.config.faults import nearest
from infra.config.spec import Seed, Spec
from infra.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PREFIX = "__label__"
_END = "</s>"
_MAGIC = (793712314).to_bytes(4, "little")  # first bytes of every fastText model, quantized or not


class FasttextTraining(Spec):
    """fastText's own training options, under its own names."""

    dim: int = Field(16, ge=1)
    """Numbers that stand for a word."""
    epoch: int = Field(5, ge=1)
    """Passes over the data."""
    lr: float = Field(0.5, gt=0)
    """Learning rate at the start."""
    wordNgrams: int = Field(2, ge=1)
    """Longest run of words that is a feature."""
    minn: int = Field(0, ge=0)
    """Shortest run of letters that is a feature; 0 for none."""
    maxn: int = Field(0, ge=0)
    """Longest run of letters that is a feature."""
    minCount: int = Field(2, ge=1)
    """Words seen less often than this are left out."""
    bucket: int = Field(200_000, ge=1)
    """WordSpans that n-grams are hashed to."""
    loss: Literal["softmax", "ova"] = "softmax"
    """ova (one against all): labels that do not exclude one another."""
    seed: Seed = 0
    """Of the order of the texts and of fastText. Training is single-threaded, so that the same data and seed give the
    same bytes."""


@dataclass(frozen=True)
class FasttextModel:
    """A loaded model; `labels` come without fastText's prefix. Cannot be pickled: send the path to workers."""

    path: Path
    labels: tuple[str, ...]
    _model: Any

    def probabilities(self, texts: list[str]) -> NDArray[np.float32]:
        """Probability of every label: float32 [texts, labels], in [0, 1]."""
        columns = {f"{_PREFIX}{label}": column for column, label in enumerate(self.labels)}
        table = np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        if not texts:
            return table
        names, values = self._model.predict(list(map(one_line, texts)), k=-1)  # by falling probability, row by row
        for row, (row_names, row_values) in enumerate(zip(names, values, strict=True)):
            for name, value in zip(row_names, row_values, strict=True):
                table[row, columns[name]] = value
        return table.clip(0, 1)  # fastText returns up to 1.00001; a NaN stays a NaN

    def known_words(self, text: str) -> tuple[int, int]:
        """How many words with letters are in the vocabulary, and how many there are; (0, 0) with letter runs."""
        if self._model.f.getArgs().maxn:
            return 0, 0
        words = [word for word in one_line(text).split() if any(map(str.isalpha, word))]
        return sum(self._model.get_word_id(word) >= 0 for word in words), len(words)

    def column_of(self, label: str) -> int:
        """Column of `label`, with or without fastText's prefix. Raises InputError with the nearest label."""
        plain = label.removeprefix(_PREFIX)
        if plain not in self.labels:
            known = ", ".join(self.labels[:20]) + (", …" if len(self.labels) > 20 else "")
            raise InputError(f'{self.path}: no label "{plain}"; it has {known}{nearest(plain, self.labels)}')
        return self.labels.index(plain)


def load_fasttext(path: str | Path) -> FasttextModel:
    """Load a .bin or .ftz, once per process and content. Raises InputError, UnavailableError."""
    return _load(Path(path), fasttext_digest(path))


def fasttext_digest(path: str | Path) -> str:
    """SHA-256 of the model's file; the same path with another content is another model."""
    return digest_model_file(Path(path))


def train_fasttext(rows: Iterable[tuple[str, Iterable[str]]], options: FasttextTraining, target: Path) -> FasttextModel:
    """Train on (text, labels), in an order drawn by the seed, and write the model to `target`: fastText takes its steps
    in the order of the file, and of labels one after the other it would remember the last. Raises InputError when there
    is nothing to learn.
    """
    fasttext, lines = _package(), target.with_name(f"{target.name}.train.txt")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shuffled = list(rows)
        random.Random(options.seed).shuffle(shuffled)
        seen = _write_lines(shuffled, lines)
        if len(seen) < 2:
            raise InputError(f"a fastText classifier needs at least two labels to learn, and there are {len(seen)}")
        # one thread: with more, the order of their updates would be another every time
        model = fasttext.train_supervised(input=str(lines), thread=1, verbose=0, **options.model_dump())
    finally:
        lines.unlink(missing_ok=True)
    with atomic_path(target) as temporary:
        model.save_model(str(temporary))
    return load_fasttext(target)


def one_line(text: str) -> str:
    """A text as fastText reads it: on one line, without its end-of-text sign, and valid in UTF-8."""
    plain = text.replace("\x00", " ").replace(_END, "< /s>")  # it would stop reading there, and not say so
    return " ".join(plain.split()).encode("utf-8", "replace").decode()


def _write_lines(rows: Iterable[tuple[str, Iterable[str]]], file: Path) -> set[str]:
    """Write the training file; returns the labels."""
    seen: set[str] = set()
    with open(file, "w", encoding="utf-8") as out:
        for text, labels in rows:
            names = list(labels)
            seen.update(names)
            marks = " ".join(f"{_PREFIX}{name}" for name in names)
            out.write(f"{marks} {one_line(text).replace(_PREFIX, '')}\n")
    return seen


@lru_cache(maxsize=8)
def _load(path: Path, digest: str) -> FasttextModel:
    fasttext = _package()
    with open(path, "rb") as file:
        if file.read(4) != _MAGIC:  # the library would end the process, or read rubbish
            raise InputError(f"{path}: not a fastText model")
    try:
        model = fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise InputError(f"{path}: the fastText model is damaged: {error}") from None
    labels = model.get_labels()
    if not all(label.startswith(_PREFIX) for label in labels):
        raise InputError(f"{path}: these are word vectors, not a classifier")
    return FasttextModel(path, tuple(label.removeprefix(_PREFIX) for label in labels), model)


def _package() -> Any:
    try:
        import fasttext
    except ImportError:
        message = "fastText models need a package: pip install fasttext-community==0.11.9"
        raise UnavailableError(message) from None
    return fasttext
