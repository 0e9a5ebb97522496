"""Token streams of a built mixture, cut into samples whose *targets* divide the stream.

The order of documents and samples is Megatron's (`pretrain.data.index`). Four things differ from its GPTDataset. There,
samples overlap by one token and the tail of the corpus is dropped; here every token is a target exactly once, the last
sample is padded, and the input that precedes a sample's first target is fetched beside it (the very first target
follows an EOS). Every token comes with its risk byte, read from the same position of the risk twin. A stream may hold
the documents of several components. And it may keep the order of its files.

Many samples are read at once, by array operations alone: a loop over documents would be slower than a GPU trains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.errors import DataError
from mixtures.formats import long_arrays
from mixtures.formats.indexed import Indexed
from mixtures.formats.risk import STRUCTURAL, UNSCORED
from pretrain.data.index import Array, New, fill_stream, stored_arrays
from pretrain.data.repetitions import Repeated
from pretrain.data.token_files import ComponentFiles

PADDING = -1  # the document of what is no document's


@dataclass(frozen=True)
class Rows:
    """Samples: `text` int64, `risk` uint8, `component` int64 (the number of each token's component) and `document`
    int64 (its number in the stream, -1 at the padding), all [samples, s + 1].

    Inputs are the first s and targets the last s. Risk is STRUCTURAL at the padding and at the EOS before the first
    token of the stream.
    """

    text: Array
    risk: Array
    component: Array
    document: Array

    @classmethod
    def empty(cls, count: int, sequence_length: int, end_of_document: int) -> Rows:
        """Samples that are padding."""
        shape = (count, sequence_length + 1)
        return cls(
            text=np.full(shape, end_of_document, np.int64),
            risk=np.full(shape, STRUCTURAL, np.uint8),
            component=np.zeros(shape, np.int64),
            document=np.full(shape, PADDING, np.int64),
        )


@dataclass(frozen=True)
class TargetRange:
    """Targets of a sample that come from one document: number of the component, first token in its files, how many."""

    component: int
    position: int
    tokens: int


@dataclass(frozen=True)
class _Runs:
    """Tokens of samples as runs that lie in one document, five arrays [runs]: the row, the document in the stream, the
    index of its token files, the first token in them, how many.
    """

    row: Array
    document: Array
    files: Array
    position: Array
    tokens: Array


class EpochSamples:
    """One epoch over the documents of one or several components, by sample."""

    def __init__(self, components: Mapping[int, ComponentFiles], sequence_length: int, seed: int, cache: Path) -> None:
        """`components` by their number. Raises DataError where a risk twin is of other documents."""
        self._components = list(components.values())
        self._files = [Indexed(component.prefix) for component in self._components]
        self._risk = [_risk_of(*pair) for pair in zip(self._components, self._files, strict=True)]
        self._numbers = np.fromiter(components, np.int64, len(components))
        self._ends = np.cumsum([len(files.sizes) for files in self._files])  # of the token files, in documents
        self._firsts = np.concatenate([[0], self._ends[:-1]])
        self._length, self._seed = sequence_length, seed
        keys = [component.key for component in self._components]
        key = {"parts": keys, "sequence_length": sequence_length, "seed": seed}  # names the index files
        arrays = stored_arrays(cache, key, self._fill)
        self._order, self._begins, self._shuffle = (arrays[name] for name in ("order", "begins", "shuffle"))

    def __len__(self) -> int:
        return len(self._shuffle)

    def read(self, samples: Array, at: Array, rows: Rows) -> None:
        """Write samples, by their numbers, into the rows `at`; these must be padding so far."""
        numbers = self._shuffle[samples].astype(np.int64)
        runs = self._runs(numbers)
        heads = np.searchsorted(runs.row, np.arange(len(samples)))
        before = np.cumsum(runs.tokens) - runs.tokens
        opens = numbers == 0  # no token of the stream is in front of its first target
        first = at[runs.row] * (self._length + 1) + before - before[heads][runs.row] + opens[runs.row]
        rows.component[at] = self._numbers[0]
        rows.component[at, 0] = self._numbers[runs.files[heads]]
        for index in np.unique(runs.files):
            mask = runs.files == index
            sizes = runs.tokens[mask]
            target, source = _ranges(first[mask], sizes), _ranges(runs.position[mask], sizes)
            rows.text.reshape(-1)[target] = self._files[index].tokens[source]
            risk = self._risk[index]
            rows.risk.reshape(-1)[target] = UNSCORED if risk is None else risk[source]
            rows.component.reshape(-1)[target] = self._numbers[index]
            rows.document.reshape(-1)[target] = np.repeat(runs.document[mask], sizes)

    def target_ranges(self, sample: int) -> list[TargetRange]:
        """Where the targets of a sample come from, in order."""
        number = int(self._shuffle[sample])
        runs = self._runs(np.array([number]))
        skip = np.zeros_like(runs.tokens)
        skip[0] = number > 0  # the token before the first target
        columns = (self._numbers[runs.files], runs.position + skip, runs.tokens - skip)
        return [TargetRange(*row) for row in zip(*(column.tolist() for column in columns), strict=True) if row[-1]]

    def _runs(self, numbers: Array) -> _Runs:
        """The tokens of samples, which are numbered as the stream is cut, from the one before the first target on."""
        (first, offset), (last, end) = self._begins[numbers].T, self._begins[numbers + 1].T
        counts = last - first + 1
        row = np.repeat(np.arange(len(numbers)), counts)
        document = self._order[_ranges(first, counts)].astype(np.int64)
        files = np.searchsorted(self._ends, document, side="right")
        starts, tokens = self._located(document, files)
        heads, tails = np.cumsum(counts) - counts, np.cumsum(counts) - 1
        offsets = np.zeros_like(tokens)
        offsets[heads] = np.maximum(offset, 0)
        tokens[tails] = end + 1
        return _Runs(row, document, files, starts + offsets, tokens - offsets)

    def _located(self, documents: Array, indices: Array) -> tuple[Array, Array]:
        """First token in its files, and number of tokens, of documents of the stream; `indices` are those of their
        files. All [documents].
        """
        starts, tokens = np.empty_like(documents), np.empty_like(documents)
        for index in np.unique(indices):
            mask = indices == index
            files, numbers = self._files[index], documents[mask] - self._firsts[index]
            starts[mask] = files.pointers[numbers] // files.tokens.itemsize
            tokens[mask] = files.sizes[numbers]
        return starts, tokens

    def _fill(self, new: New) -> None:
        """Build the index; documents are numbered file by file."""
        documents: list[range] = []
        repeated: list[Repeated | None] = []
        for component, begin, end in zip(self._components, self._firsts.tolist(), self._ends.tolist(), strict=True):
            first, last = component.documents or (0, end - begin)
            documents.append(range(begin + first, begin + last))
            repeated.append(None if component.distinct is None else Repeated(begin, component.distinct))
        shuffled = [component.shuffled for component in self._components]
        fill_stream(new, documents, shuffled, self._lengths(), self._length, self._seed, repeated)

    def _lengths(self) -> Array:
        """Tokens of every document of the stream."""
        if len(self._files) == 1:
            return self._files[0].sizes
        lengths = long_arrays.new(int(self._ends[-1]), np.int32)
        for files, first, end in zip(self._files, self._firsts, self._ends, strict=True):
            lengths[first:end] = files.sizes
        return lengths


def _ranges(firsts: Array, sizes: Array) -> Array:
    """`arange(first, first + size)` of each pair, one after another."""
    ends = np.cumsum(sizes)
    return np.repeat(firsts - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0)


def _risk_of(component: ComponentFiles, tokens: Indexed) -> Array | None:
    """The risk twin's bytes, [tokens]; None where nothing was scored."""
    if component.risk_prefix is None:
        return None
    risk = Indexed(component.risk_prefix)
    if not tokens.is_cut_like(risk):
        raise DataError(
            f"{component.risk_prefix}.idx: the risk twin's documents differ from its tokens'; build the mixture again"
        )
    return risk.tokens
