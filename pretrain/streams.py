"""Token streams of a built mixture, cut into samples whose *targets* divide the stream.

Megatron's GPTDataset does the work. Four things differ. Its samples overlap by one token and the tail of the corpus is
dropped; here every token is a target exactly once, the last sample is padded, and the input that precedes a sample's
first target is fetched beside it (the very first target follows an EOS). Every token comes with its risk byte, read
through the same indices from the risk twin. A stream may hold the documents of several components. And it may keep the
order of its files.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Protocol

import numpy as np
from megatron.core.datasets import helpers
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split
from numpy.typing import NDArray

from infra.errors import DataError
from mixtures.risk import STRUCTURAL, UNSCORED
from pretrain.parts import Tokens

PADDING = -1  # no token has this id, so padding cannot be confused with a token of the tokenizer

Array = NDArray[Any]


class Documents(Protocol):
    """What GPTDataset reads of an IndexedDataset."""

    sequence_lengths: Array

    def get(self, idx: int, offset: int = 0, length: int | None = None) -> Array:
        """Tokens of a document."""


class Stream(GPTDataset):
    """One epoch over the documents of one or several components.

    Sample i is a dictionary of arrays: "text" int64 [s + 1] and "risk" uint8 [s + 1], of which inputs are the first s
    and targets the last s; "component" int64 [s + 1], the number of each token's component; "document" int64 [s], the
    target's document in the stream (-1 at the padding). Risk is STRUCTURAL at the padding and at the EOS before the
    first token.
    """

    def __init__(self, parts: Mapping[int, Tokens], config: GPTDatasetConfig) -> None:
        """`parts` by the number of their component."""
        files = [self.build_low_level_dataset(str(part.prefix), config) for part in parts.values()]
        indexed: Documents = files[0] if len(files) == 1 else _Joined(files)
        self._numbers = np.fromiter(parts, np.int64, len(parts))
        self._ends = np.cumsum([len(each.sequence_lengths) for each in files])
        own = [self._documents_of(part, number) for number, part in enumerate(parts.values())]
        kept = len(parts) > 1 or not all(part.shuffled for part in parts.values())
        shuffled = [part.shuffled for part in parts.values()]
        self._order = interleaved(own, indexed.sequence_lengths, shuffled, config.random_seed) if kept else None
        name = " ".join(f"{part.prefix} {part.documents or ''}" for part in parts.values())  # names Megatron's index
        # Only the validation split may keep its last, partial sample.
        super().__init__(indexed, name, np.concatenate(own), None, Split.valid, config)
        self._pad_token_id = PADDING
        self._risk = self._twin([_risk_of(part, each) for part, each in zip(parts.values(), files, strict=True)])

    def _documents_of(self, part: Tokens, place: int) -> Array:
        """The documents of one part, as they are numbered in the stream."""
        before = int(self._ends[place - 1]) if place else 0
        first, end = part.documents or (0, int(self._ends[place]) - before)
        return np.arange(before + first, before + end, dtype=np.int32)

    def _build_document_sample_shuffle_indices(self) -> tuple[Array, Array, Array]:
        if self._order is None:
            indices: tuple[Array, Array, Array] = super()._build_document_sample_shuffle_indices()
            return indices
        lengths = np.ascontiguousarray(self.dataset.sequence_lengths)
        tokens = int(lengths[self._order].sum())
        samples = helpers.build_sample_idx(lengths, self._order, self.config.sequence_length, 1, tokens, False, 0)
        return self._order, samples, np.arange(len(samples) - 1)

    def _twin(self, risks: list[Documents]) -> Stream:
        """The same samples with another payload."""
        twin = copy.copy(self)
        twin.dataset = risks[0] if len(risks) == 1 else _Joined(risks)
        twin._pad_token_id = STRUCTURAL
        return twin

    def __getitem__(self, index: int) -> dict[str, Any]:
        targets, _ = self._query_document_sample_shuffle_indices(index)
        padding = targets == PADDING
        document = self._documents(index)
        text, component = (np.empty(len(targets) + 1, dtype=np.int64) for _ in range(2))
        risk = np.empty(len(text), dtype=np.uint8)
        text[0], risk[0], before = self._before(index)
        text[1:] = np.where(padding, self.config.tokenizer.eod, targets)
        risk[1:], _ = self._risk._query_document_sample_shuffle_indices(index)
        component[0], component[1:] = self._component(before), self._component(document)
        return {"text": text, "risk": risk, "component": component, "document": document}

    def pieces(self, index: int) -> list[tuple[int, int, int, int]]:
        """Where the targets of a sample come from, in order: number of the component, document in its files, first
        token in the document, tokens.
        """
        found = []
        position, offset = (int(value) for value in self.sample_index[self.shuffle_index[index]])
        if offset == self.dataset.sequence_lengths[self.document_index[position]]:
            offset = 0  # the sample before ended with this document: the next one is the first
        for number, targets in groupby(self._documents(index).tolist()):
            if number == PADDING:
                break
            part, size = int(np.searchsorted(self._ends, number, side="right")), len(list(targets))
            first = int(self._ends[part - 1]) if part else 0
            found.append((int(self._numbers[part]), number - first, offset, size))
            offset = 0
        return found

    def _before(self, index: int) -> tuple[int, int, int]:
        """Token and risk byte before the first target of a sample, and the document it belongs to."""
        position, offset = (int(value) for value in self.sample_index[self.shuffle_index[index]])
        while offset == 0:
            if position == 0:
                return self.config.tokenizer.eod, STRUCTURAL, int(self.document_index[0])
            position -= 1
            offset = int(self.dataset.sequence_lengths[self.document_index[position]])
        document = int(self.document_index[position])
        token = self.dataset.get(document, offset=offset - 1, length=1)[0]
        risk = self._risk.dataset.get(document, offset=offset - 1, length=1)[0]
        return int(token), int(risk), document

    def _documents(self, index: int) -> Array:
        """The document of each target of a sample."""
        sample = self.shuffle_index[index]
        (first, offset), (last, end) = self.sample_index[sample], self.sample_index[sample + 1]
        documents = self.document_index[first : last + 1].astype(np.int64)
        sizes = self.dataset.sequence_lengths[documents].astype(np.int64)
        sizes[-1] = end
        sizes[0] -= offset
        found = np.full(self.config.sequence_length, PADDING, dtype=np.int64)
        found[: sizes.sum()] = np.repeat(documents, sizes)
        return found

    def place(self, document: int, offset: int) -> tuple[int, int]:
        """Number of the component of a document of the stream, and of a token of that document in its token file."""
        part = int(np.searchsorted(self._ends, document, side="right"))
        first = int(self._ends[part - 1]) if part else 0
        before = self.dataset.sequence_lengths[first:document].sum(dtype=np.int64)
        return int(self._numbers[part]), int(before) + offset

    def _component(self, document: Array | int) -> Any:
        if len(self._numbers) == 1:
            return self._numbers[0]
        return self._numbers[np.searchsorted(self._ends, document, side="right")]


def interleaved(parts: Sequence[Array], lengths: Array, shuffled: Sequence[bool], seed: int) -> Array:
    """The documents of all parts in one order, each part spread evenly over it by tokens; int32.

    A part's own order follows from the part and the seed only, so that a component keeps its order whatever is beside
    it. `lengths` are by document.
    """
    documents, places = [], []
    for part, free in zip(parts, shuffled, strict=True):
        state = np.random.RandomState(seed)
        own = state.permutation(part) if free else part
        sizes = lengths[own].astype(np.int64)
        places.append((np.cumsum(sizes) - sizes + state.random_sample(len(own)) * sizes) / sizes.sum())
        documents.append(own)
    return np.concatenate(documents)[np.argsort(np.concatenate(places), kind="stable")].astype(np.int32)


class _Joined:
    """Several IndexedDatasets one after another."""

    def __init__(self, parts: Sequence[Documents]) -> None:
        self.parts = parts
        self.sequence_lengths: Array = np.concatenate([each.sequence_lengths for each in parts])
        self._ends = np.cumsum([len(each.sequence_lengths) for each in parts])

    def get(self, idx: int, offset: int = 0, length: int | None = None) -> Array:
        part = int(np.searchsorted(self._ends, idx, side="right"))
        first = int(self._ends[part - 1]) if part else 0
        return self.parts[part].get(int(idx) - first, offset, length)


class _Unscored:
    """The risk twin of a component that has none."""

    def __init__(self, lengths: Array) -> None:
        self.sequence_lengths = lengths

    def get(self, idx: int, offset: int = 0, length: int | None = None) -> Array:
        size = int(self.sequence_lengths[idx]) - offset if length is None else length
        return np.full(size, UNSCORED, np.uint8)


def _risk_of(part: Tokens, tokens: Documents) -> Documents:
    if part.risk_prefix is None:
        return _Unscored(tokens.sequence_lengths)
    risk = IndexedDataset(str(part.risk_prefix))
    if not np.array_equal(risk.sequence_lengths, tokens.sequence_lengths):
        raise DataError(
            f"{part.risk_prefix}.idx: the risk twin's documents differ from its tokens'; build the mixture again"
        )
    return risk
