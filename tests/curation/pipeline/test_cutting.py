"""Big files become several shards, so that all workers have work, and nothing but the files' layout shows it.

Covers curation.pipeline.split and curation.sources.footers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus.tagged import TaggedCorpus
from infra.artifacts.artifact import Artifact
from tests.helpers.corpora import SCORE, Curate, write_jsonl

ROWS = [{"text": f"This is document number {n} of them.", "n": n} for n in range(100)]


@pytest.fixture(autouse=True)
def _everything_is_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curation.pipeline.split.CUT_ABOVE", 10)


def files(artifact: Artifact) -> list[int]:
    """Documents of each file."""
    return [file["documents"] for file in TaggedCorpus.open(artifact.path, "it").manifest["files"]]


def seen(artifact: Artifact) -> list[tuple[str, str, int]]:
    return [
        (document.id, document.text, document.metadata["n"])
        for document in TaggedCorpus.open(artifact.path, "it").documents()
    ]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "jsonl", "parquet"])
def test_one_big_file_is_cut_into_shards_of_so_many_documents(tmp_path: Path, curate: Curate, suffix: str) -> None:
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=33)
    else:
        write_jsonl(tmp_path / f"a.{suffix}", ROWS)
    cut = curate({"path": f"a.{suffix}", "keep": ["n"]}, shard_documents=30, steps=[])
    assert files(cut) == [30, 30, 30, 10]
    assert seen(cut) == [(f"0/a.{suffix}:{row['n'] + 1}", row["text"], row["n"]) for row in ROWS]


def test_the_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl.gz", ROWS)
    write_jsonl(tmp_path / "b.jsonl", ROWS[:40])
    steps = [{"step": "exact_dedup"}, SCORE]
    results = []
    for workers in (1, 2):
        options: dict[str, Any] = {"steps": steps, "shard_documents": 30, "workers": workers, "out": f"out{workers}"}
        folder = curate({"path": "*.jsonl*", "keep": ["n"]}, **options).path
        contents = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.*")}
        results.append({name: data for name, data in contents.items() if name != "artifact.json"})
    assert results[0] == results[1] and len(results[0]) == 6 + 2 + 2


def test_a_limit_is_cut_too_and_takes_the_first_documents(tmp_path: Path, curate: Curate) -> None:
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name} {n}", "n": n} for n in range(40)])
    limited = curate({"path": "*.jsonl", "keep": ["n"]}, limit=50, shard_documents=20, steps=[])
    assert files(limited) == [20, 20, 10]
    assert [text for _, text, _ in seen(limited)] == [f"a {n}" for n in range(40)] + [f"b {n}" for n in range(10)]


def test_bad_lines_and_what_is_left_out_of_a_cut_file_are_kept(tmp_path: Path, curate: Curate) -> None:
    lines = [json.dumps(row) for row in ROWS]
    lines[50], lines[60], lines[70] = "broken", json.dumps({"text": "", "n": 0}), lines[1]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = {"path": "a.jsonl", "keep": ["n"], "unique": True}
    artifact = curate(source, shard_documents=30, steps=[], max_bad_share=0.1)
    assert sum(files(artifact)) == 97 and artifact.counts["it"]["bad_lines"] == 1
    assert json.loads((artifact.path / "quarantine.jsonl").read_text())["line"] == 51
    rows = pq.read_table(artifact.path / "excluded" / "it" / "00000.parquet").to_pylist()
    assert [row["reason"] for row in rows] == ["empty text", "text seen before in the file"]


def test_a_shard_ends_early_where_its_documents_are_long(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.shards.shards._RUN_CHARACTERS", 500)
    write_jsonl(tmp_path / "a.jsonl", [{"text": "x" * 400, "n": n} for n in range(5)])
    assert files(curate({"path": "a.jsonl"}, steps=[])) == [2, 2, 1]


def test_a_big_file_without_a_single_document_is_told_like_any_other(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": ""}] * 20)
    write_jsonl(tmp_path / "b.jsonl", ROWS[:3])
    artifact = curate({"path": "*.jsonl"}, steps=[])
    assert files(artifact) == [0, 3] and artifact.counts["it"]["removed"] == 20
