"""Megatron's files and the risk twin."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.errors import ArtifactError
from mixtures.formats.indexed import (
    BinWriter,
    Indexed,
    bin_path,
    idx_path,
    open_pair,
    risk_prefix,
    token_dtype,
    write_idx,
)

DOCUMENTS = [[5, 6, 7, 0], [8, 0], [60_000, 9, 0]]


def write(prefix: Path, documents: list[list[int]], dtype: str = "uint16") -> str:
    """Write documents and a risk twin; returns the token file's hash."""
    tokens, levels = BinWriter(bin_path(prefix), dtype), BinWriter(bin_path(risk_prefix(prefix)), "uint8")
    for document in documents:
        tokens.append(np.asarray(document))
        levels.append(np.asarray(document) % 256)
    sha256, _ = tokens.finish(), levels.finish()
    lengths = np.asarray([len(document) for document in documents], dtype=np.int32)
    write_idx(idx_path(prefix), lengths, dtype)
    write_idx(idx_path(risk_prefix(prefix)), lengths, "uint8", tokens_sha256=sha256)
    return sha256


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_files_are_those_that_megatron_writes_and_reads(tmp_path: Path, dtype: str) -> None:
    stock = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    write(tmp_path / "ours", DOCUMENTS, dtype)
    builder = stock.IndexedDatasetBuilder(str(tmp_path / "stock.bin"), dtype=np.dtype(dtype).type)
    for document in DOCUMENTS:
        builder.add_document(np.asarray(document), [len(document)])
    builder.finalize(str(tmp_path / "stock.idx"))
    for suffix in (".bin", ".idx"):
        assert (tmp_path / f"ours{suffix}").read_bytes() == (tmp_path / f"stock{suffix}").read_bytes()
    twin = stock.IndexedDataset(str(tmp_path / "ours.risk"))
    assert [twin[i].tolist() for i in range(len(twin))] == [[t % 256 for t in d] for d in DOCUMENTS]
    assert twin.document_indices.tolist() == [0, 1, 2, 3]


def test_our_reader_gives_the_documents_back(tmp_path: Path) -> None:
    tokens, levels = open_pair(tmp_path / "a", write(tmp_path / "a", DOCUMENTS))
    assert [tokens.document(i).tolist() for i in range(3)] == DOCUMENTS
    assert levels.lengths.tolist() == [4, 2, 3]


def test_a_twin_of_other_tokens_is_refused(tmp_path: Path) -> None:
    sha256 = write(tmp_path / "a", DOCUMENTS)
    write(tmp_path / "b", [[1, 2, 3, 0], [4, 0], [5, 6, 0]])  # the same lengths: only the hash can tell
    for suffix in (".bin", ".idx"):
        (tmp_path / f"a.risk{suffix}").write_bytes((tmp_path / f"b.risk{suffix}").read_bytes())
    with pytest.raises(ArtifactError, match="made for other tokens"):
        open_pair(tmp_path / "a", sha256)


def test_a_twin_without_a_hash_is_refused(tmp_path: Path) -> None:
    sha256 = write(tmp_path / "a", DOCUMENTS)
    write_idx(idx_path(tmp_path / "a.risk"), np.asarray([4, 2, 3], np.int32), "uint8")
    with pytest.raises(ArtifactError, match="names none"):
        open_pair(tmp_path / "a", sha256)


@pytest.mark.parametrize("suffix", [".bin", ".idx"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a", DOCUMENTS)
    file = tmp_path / f"a{suffix}"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="run the stage again"):
        Indexed(tmp_path / "a")


def test_something_else_is_not_an_index(tmp_path: Path) -> None:
    (tmp_path / "a.idx").write_bytes(b"not an index, but long enough to be one, is it not?")
    with pytest.raises(ArtifactError, match="not a Megatron index"):
        Indexed(tmp_path / "a")


def test_no_tokens_are_no_error(tmp_path: Path) -> None:
    tokens, _ = open_pair(tmp_path / "a", write(tmp_path / "a", []))
    assert len(tokens.lengths) == 0 and len(tokens.tokens) == 0


def test_token_type_follows_megatron() -> None:
    stock = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    for vocab in (300, 65_499, 65_500, 100_000):
        assert token_dtype(vocab) == stock.DType.optimal_dtype(vocab).__name__
