"""The order of a stream's samples, built once, kept in files and mapped by every rank.

The draws are those of Megatron-core's GPTDataset and BlendedDataset (`datasets/gpt_dataset.py`,
`blended_dataset.py`), bit for bit; the arrays are filled in their files, so that none of them is in memory as a whole.
A file set appears under its name when it is complete: a kill leaves nothing that could be taken for it, and of two
processes that build the same one, both find either's.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from megatron.core.datasets import helpers
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray

from infra.artifacts.fingerprint import digest
from infra.atomic import TEMPORARY, sync, sync_folder
from mixtures.formats import long_arrays
from pretrain.data.repetitions import Repeated, shuffle_documents, shuffle_samples

Array: TypeAlias = NDArray[Any]
New: TypeAlias = Callable[[str, tuple[int, ...], DTypeLike], Array]
"""Makes an array in a file: name, shape and type."""

_CHUNK = 1 << 20  # documents that are looked at together
_FORMAT = 1  # of the files, a part of their name


def stored_arrays(folder: Path, key: Mapping[str, Any], build: Callable[[New], None]) -> dict[str, Array]:
    """The arrays that `build` fills, mapped from the files of `folder` that `key` names; built if they are not there.

    Reading while others build, and building at once, are safe.
    """
    files = folder / digest({"format": _FORMAT, **key})[:32]
    if not files.exists():
        _build(files, build)
    return {path.stem: np.load(path, mmap_mode="r").view(np.ndarray) for path in files.glob("*.npy")}


def _build(files: Path, build: Callable[[New], None]) -> None:
    files.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=files.parent))

    def new(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        # Not as a memmap, which numpy shuffles element by element in Python.
        return open_memmap(temporary / f"{name}.npy", "w+", dtype, shape).view(np.ndarray)

    try:
        with long_arrays.mapped_in(temporary / "scratch"):
            build(new)
        for path in temporary.iterdir():
            sync(path)
        temporary.chmod(0o755)  # mkdtemp makes folders private; ranks of another user may read these
        os.rename(temporary, files)
    except OSError:
        if not files.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(files.parent)


def fill_stream(
    new: New,
    documents: Sequence[range],
    shuffled: Sequence[bool],
    lengths: Array,
    sequence_length: int,
    seed: int,
    repeated: Sequence[Repeated | None] = (),
) -> None:
    """Order of a stream's documents, where its samples begin, and their order: `order`, `begins`, `shuffle`.

    `documents` are those of each component of the stream, numbered as `lengths` (tokens by document) counts them;
    `shuffled` says whether they may change their order, `repeated` which of them repeat documents. A single component
    that may is ordered, and its samples then, as GPTDataset does it; else documents are interleaved and samples follow
    each other.
    """
    repeated = repeated or [None] * len(documents)
    count = sum(map(len, documents))
    order = new("order", (count,), _number_type(lengths))
    state = np.random.RandomState(seed)
    free = len(documents) == 1 and shuffled[0]
    if free:
        _count(order, documents[0])
        shuffle_documents(order, repeated[0], lengths, sequence_length, state)
    else:
        interleave(order, documents, lengths, shuffled, seed, repeated, sequence_length)
    tokens = sum(int(lengths[order[at : at + _CHUNK]].sum(dtype=np.int64)) for at in range(0, count, _CHUNK))
    samples = -(-tokens // sequence_length)
    _fill_begins(new("begins", (samples + 1, 2), np.int64), order, lengths, sequence_length)
    shuffle = new("shuffle", (samples,), np.uint32 if samples < np.iinfo(np.uint32).max - 1 else np.int64)
    _count(shuffle, range(samples))
    if free:
        shuffle_samples(shuffle, documents[0], repeated[0], lengths, sequence_length, state)


def _number_type(lengths: Array) -> DTypeLike:
    return np.int32 if len(lengths) <= np.iinfo(np.int32).max else np.int64


def _count(into: Array, numbers: range) -> None:
    """Write the numbers, in chunks."""
    for at in range(0, len(numbers), _CHUNK):
        chunk = numbers[at : at + _CHUNK]
        into[at : at + len(chunk)] = np.arange(chunk.start, chunk.stop)


def _fill_begins(begins: Array, order: Array, lengths: Array, sequence_length: int) -> None:
    """Position in `order`, and offset in that document, of the token before each sample's first target; of the last
    token of all in the last row. Before the first sample there is none: its offset is -1.
    """
    begins[0] = 0, -1
    row, before = 1, 0
    for first in range(0, len(order), _CHUNK):
        sizes = lengths[order[first : first + _CHUNK]].astype(np.int64)
        ends = before + np.cumsum(sizes)
        full = int(ends[-1]) // sequence_length  # samples whose last target lies in front of here
        tokens = np.arange(row, min(full, len(begins) - 1) + 1, dtype=np.int64) * sequence_length - 1
        document = np.searchsorted(ends, tokens, side="right")
        begins[row : row + len(tokens), 0] = first + document
        begins[row : row + len(tokens), 1] = tokens - (ends - sizes)[document]
        row, before = row + len(tokens), int(ends[-1])
    if row < len(begins):  # the last sample is not full
        last = len(order) - 1
        while not lengths[order[last]]:
            last -= 1
        begins[row] = last, lengths[order[last]] - 1


def fill_blend(new: New, sizes: Sequence[int]) -> None:
    """Which stream each sample of an epoch is of, and its number in it: `stream`, `sample`; as many of each stream as
    it has, spread evenly.
    """
    stream, sample = new("stream", (sum(sizes),), np.int16), new("sample", (sum(sizes),), np.int64)
    if len(sizes) == 1:
        sample[:] = np.arange(len(sample))
    else:
        helpers.build_exhaustive_blending_indices(stream, sample, np.array(sizes, np.int64), len(sizes))


def interleave(
    order: Array,
    documents: Sequence[range],
    lengths: Array,
    shuffled: Sequence[bool],
    seed: int,
    repeated: Sequence[Repeated | None] = (),
    apart: int = 0,
) -> None:
    """Write the documents of all components in one order, those of a component spread evenly over it by tokens.

    A component's own order follows from its documents and the seed only, whatever is beside it. `lengths` are by
    document; what is `repeated` stays `apart` by so many tokens.

    Every document gets a position between 0 and 1, and the order is that of the positions. They are sorted window by
    window, of about _CHUNK documents, since all of them at once would not fit into memory.
    """
    repeated = repeated or [None] * len(documents)
    components = [
        _Positioned.draw(numbers, lengths, free, seed, repeats, apart)
        for numbers, free, repeats in zip(documents, shuffled, repeated, strict=True)
    ]
    windows = -(-len(order) // _CHUNK)
    ends = np.arange(1, windows + 1) / windows
    cuts = [component.cuts(ends) for component in components]
    filled = 0
    for window in range(windows):
        slices = [slice(cut[window], cut[window + 1]) for cut in cuts]
        pairs = list(zip(components, slices, strict=True))
        in_window = np.concatenate([component.documents[stretch] for component, stretch in pairs])
        positions = np.concatenate([component.positions[stretch] for component, stretch in pairs])
        order[filled : filled + len(in_window)] = in_window[np.argsort(positions, kind="stable")]
        filled += len(in_window)


@dataclass(frozen=True)
class _Positioned:
    """A component's documents in its own order, and the position of each in the whole, between 0 and 1, ascending."""

    documents: Array
    positions: Array

    @classmethod
    def draw(
        cls, numbers: range, lengths: Array, free: bool, seed: int, repeated: Repeated | None, apart: int
    ) -> _Positioned:
        """Shuffle the documents where they are `free` to be, and draw the position of each from the tokens that it
        takes up.
        """
        documents = long_arrays.new(len(numbers), _number_type(lengths)).view(np.ndarray)
        positions = long_arrays.new(len(numbers), np.float64).view(np.ndarray)
        state = np.random.RandomState(seed)
        _count(documents, numbers)
        if free:
            shuffle_documents(documents, repeated, lengths, apart, state)
        before = 0
        for at in range(0, len(numbers), _CHUNK):
            sizes = lengths[documents[at : at + _CHUNK]].astype(np.int64)
            ends = before + np.cumsum(sizes)
            positions[at : at + _CHUNK] = ends - sizes + state.random_sample(len(sizes)) * sizes
            before = int(ends[-1])
        for at in range(0, len(numbers), _CHUNK):
            positions[at : at + _CHUNK] /= before
        return cls(documents, positions)

    def cuts(self, ends: Array) -> list[int]:
        """Where the windows that end at these positions begin and end among the documents; the last holds the rest."""
        return [0, *np.searchsorted(self.positions, ends[:-1]).tolist(), len(self.documents)]
