"""Megatron's IndexedDataset on disk, and the risk twin beside it, written in streams with nothing but numpy.

`NAME.bin` holds the tokens one after another; `NAME.idx` a header, the length and byte offset of each sequence and
where documents begin (Megatron-core `datasets/indexed_dataset.py`, version 1). We write one sequence a document; what
others wrote may have several.
`NAME.risk.bin/.idx` hold one uint8 per token for the same documents. The twin's `.idx` ends with a trailer: 8 magic
bytes and the SHA-256 of `NAME.bin`. Megatron reads exactly as many bytes as the header counts, so it opens both; our
reader refuses a twin whose trailer names other tokens.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import ArtifactError
from mixtures.formats import long_arrays

RISK_SUFFIX = ".risk"
_HEADER = b"MMIDIDX\x00\x00"
_TRAILER = b"HORMRISK"
_CODES = {"uint8": 1, "int8": 2, "int16": 3, "int32": 4, "int64": 5, "uint16": 8}  # the integers of Megatron's DType
_SMALL_VOCABULARY = 65500  # Megatron's DType.optimal_dtype

Tokens = NDArray[Any]


def token_dtype(vocab_size: int) -> str:
    """Megatron's choice of token type for a vocabulary: uint16 where it fits, else int32."""
    return "uint16" if vocab_size < _SMALL_VOCABULARY else "int32"


def risk_prefix(prefix: Path) -> Path:
    """Prefix of the risk twin of `prefix`."""
    return prefix.with_name(prefix.name + RISK_SUFFIX)


def bin_path(prefix: Path) -> Path:
    """The token file of `prefix`."""
    return prefix.with_name(prefix.name + ".bin")


def idx_path(prefix: Path) -> Path:
    """The index file of `prefix`."""
    return prefix.with_name(prefix.name + ".idx")


class BinWriter:
    """Append tokens to a `.bin` file and hash them on the way."""

    def __init__(self, path: Path, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 (closed by finish)
        self._hash = hashlib.sha256()
        self.tokens = 0

    def append(self, tokens: Tokens) -> None:
        """Write `tokens` (one-dimensional, any integer type that fits)."""
        data = np.ascontiguousarray(tokens, dtype=self.dtype).data
        self._file.write(data)
        self._hash.update(data)
        self.tokens += len(tokens)

    def finish(self) -> str:
        """Close the file; returns its SHA-256 (hex)."""
        self._file.close()
        return self._hash.hexdigest()


def write_idx(path: Path, lengths: NDArray[Any], dtype: str, tokens_sha256: str | None = None) -> None:
    """Write the index of documents with `lengths` tokens; `tokens_sha256` makes it the index of a risk twin."""
    count, width, before = len(lengths), np.dtype(dtype).itemsize, 0
    with open(path, "wb") as file:
        file.write(_HEADER + struct.pack("<QBQQ", 1, _CODES[dtype], count, count + 1))
        for chunk in long_arrays.chunks(count):
            file.write(lengths[chunk].astype("<i4").tobytes())
        for chunk in long_arrays.chunks(count):
            sizes = lengths[chunk].astype("<i8") * width
            file.write((before + np.cumsum(sizes) - sizes).astype("<i8").tobytes())
            before += int(sizes.sum())
        for chunk in long_arrays.chunks(count + 1):
            file.write(np.arange(chunk.start, chunk.stop, dtype="<i8").tobytes())
        if tokens_sha256 is not None:
            file.write(_TRAILER + bytes.fromhex(tokens_sha256))


class Indexed:
    """An IndexedDataset opened for reading: one flat memory map `tokens`; document i begins at `starts[i]`.

    `sizes`, int32, and `pointers`, int64, are the tokens and the first byte of each sequence, mapped as well: an array
    with an entry a document in memory would be paid for by every rank of a machine.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        data = _map_index(idx_path(prefix))
        if len(data) < 34 or data[:9].tobytes() != _HEADER:
            raise ArtifactError(f"{idx_path(prefix)}: not a Megatron index; run the stage again")
        version, code, sequences, documents = struct.unpack_from("<QBQQ", data[:34].tobytes(), 9)
        names = {value: name for name, value in _CODES.items()}
        end = 34 + 12 * sequences + 8 * documents
        if version != 1 or code not in names or len(data) < end:
            raise ArtifactError(f"{idx_path(prefix)}: damaged Megatron index; run the stage again")
        self.sizes: NDArray[np.int32] = np.frombuffer(data, "<i4", sequences, 34)
        self.pointers: NDArray[np.int64] = np.frombuffer(data, "<i8", sequences, 34 + 4 * sequences)
        self.ends: NDArray[np.int64] = np.frombuffer(data, "<i8", documents, 34 + 12 * sequences)
        if not documents or self.ends[0] != 0 or self.ends[-1] != sequences or not _ascends(self.ends):
            raise ArtifactError(f"{idx_path(prefix)}: its documents do not cover its sequences; run the stage again")
        trailer = data[end : end + 40].tobytes()
        self.tokens_sha256 = trailer[8:].hex() if trailer[:8] == _TRAILER and len(trailer) == 40 else None
        count = sum(int(self.sizes[chunk].sum(dtype=np.int64)) for chunk in long_arrays.chunks(sequences))
        self.tokens = _map(bin_path(prefix), names[code], count)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First token of each document, and their number behind the last; in memory once it is asked for."""
        return np.concatenate([[0], np.cumsum(self.sizes, dtype=np.int64)])[self.ends]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Tokens of each document."""
        return np.diff(self.starts).astype(np.int32)

    def document(self, index: int) -> Tokens:
        """Tokens of document `index`."""
        return self.tokens[self.starts[index] : self.starts[index + 1]]

    def is_cut_like(self, other: Indexed) -> bool:
        """Whether both have the same sequences and documents."""
        return _equal(self.sizes, other.sizes) and _equal(self.ends, other.ends)


def open_pair(prefix: Path, tokens_sha256: str) -> tuple[Indexed, Indexed]:
    """Open tokens and their risk twin; raises ArtifactError when the twin belongs to other tokens."""
    tokens, risk = Indexed(prefix), Indexed(risk_prefix(prefix))
    if risk.tokens_sha256 != tokens_sha256:
        carried = (risk.tokens_sha256 or "none")[:12]
        raise ArtifactError(
            f"{risk.prefix}: the risk twin was made for other tokens "
            f"(it names {carried}, the tokens are {tokens_sha256[:12]}); build the mixture again"
        )
    if not tokens.is_cut_like(risk):
        raise ArtifactError(
            f"{risk.prefix}: the risk twin has other documents than its tokens; build the mixture again"
        )
    return tokens, risk


def _ascends(values: NDArray[np.int64]) -> bool:
    ranges = (values[chunk.start : chunk.stop + 1] for chunk in long_arrays.chunks(len(values)))
    return not any(np.any(np.diff(numbers) < 0) for numbers in ranges)


def _equal(left: NDArray[Any], right: NDArray[Any]) -> bool:
    chunks = long_arrays.chunks(len(left))
    return len(left) == len(right) and all(np.array_equal(left[chunk], right[chunk]) for chunk in chunks)


def _map_index(path: Path) -> NDArray[np.uint8]:
    """Memory map of an index file; an empty file cannot be mapped and is an empty array."""
    if not path.exists():
        raise ArtifactError(f"{path}: missing; run the stage again")
    return _mapped(path, "uint8") if path.stat().st_size else np.zeros(0, np.uint8)


def _map(path: Path, dtype: str, count: int) -> Tokens:
    """Memory map of exactly `count` items; an empty file cannot be mapped and is an empty array."""
    size = path.stat().st_size if path.exists() else -1
    if size != count * np.dtype(dtype).itemsize:
        raise ArtifactError(f"{path}: {size} bytes do not match its index; run the stage again")
    if not count:
        return np.zeros(0, dtype)
    return _mapped(path, dtype)


def _mapped(path: Path, dtype: str) -> NDArray[Any]:
    """Memory map of a file; not as a np.memmap, which takes ten times longer to make, and its slices to use."""
    with open(path, "rb") as file:
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), dtype)
