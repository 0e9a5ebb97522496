"""Very many small files share shards: the same documents in the same order with the same ids, in far fewer files, and
what is wrong with one of them is told of that one.

Covers curation.pipeline.split and curation.sources.input_files.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.safety.chaos import contents
from curation.corpus.tagged import TaggedCorpus
from curation.pipeline.split import CUT_ABOVE, pieces_of
from curation.shards.removed import Removals
from curation.sources import footers
from curation.sources.input_files import InputFile, pattern_of
from curation.stage import CURATION
from infra.artifacts.artifact import Artifact
from infra.errors import RanksFailed
from infra.stages.result_folders import partials_of
from infra.stages.stage import run_stage
from tests.helpers.corpora import Curate, load, write_jsonl

MANY = 300


def write(file: Path, text: str) -> None:
    """A file of one document."""
    if file.suffix == ".parquet":
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"text": [text]}), file)
    elif ".txt" in file.name:
        file.write_text(text)
    else:
        write_jsonl(file, [{"text": text}])


def make_many(folder: Path, suffix: str = "jsonl", files: int = MANY) -> list[str]:
    """`files` files of one document each; returns their texts in order, a third of which stood before."""
    texts = [f"Document number {number % 200} is here." for number in range(files)]
    (folder / "many").mkdir()
    for number, text in enumerate(texts):
        write(folder / "many" / f"{number:04d}.{suffix}", text)
    return texts


def seen(artifact: Artifact) -> list[tuple[str, str, str]]:
    return [
        (document.id, document.text, document.source) for document in TaggedCorpus.open(artifact.path, "it").documents()
    ]


def groups(folder: Path, path: str, **settings: Any) -> list[int]:
    """How many files each shard of this source reads."""
    spec = load(folder, {"it": {"sources": [{"path": path}]}}, **settings)
    return [len(piece.shard.input_files) for piece in pieces_of(spec, lambda input_files: {})]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "txt", "parquet"])
def test_every_document_arrives_in_order_under_its_own_file(tmp_path: Path, curate: Curate, suffix: str) -> None:
    texts = make_many(tmp_path, suffix)
    artifact = curate({"path": f"many/*.{suffix}"}, steps=[])
    names = [f"{number:04d}.{suffix}" for number in range(MANY)]
    assert seen(artifact) == [(f"0/{name}:1", text, name) for name, text in zip(names, texts, strict=True)]
    manifest = TaggedCorpus.open(artifact.path, "it").manifest
    assert [file["documents"] for file in manifest["files"]] == [4] * 75
    assert list(manifest["sources"]) == [f"*.{suffix}"] and manifest["sources"][f"*.{suffix}"]["documents"] == MANY


def test_the_bytes_depend_neither_on_the_workers_nor_on_a_kill(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_many(tmp_path)
    results = [
        contents(curate({"path": "many/*.jsonl"}, steps=[], workers=workers, out=f"out{workers}").path)
        for workers in (1, 2)
    ]
    finish, ended = Removals.finish, []

    def die(removals: Removals) -> None:
        ended.append(removals)
        if len(ended) == 30:
            raise KeyboardInterrupt
        finish(removals)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Removals, "finish", die)
        curate({"path": "many/*.jsonl"}, steps=[], out="killed")
    assert partials_of(tmp_path / "killed")
    results.append(contents(curate({"path": "many/*.jsonl"}, steps=[], out="killed").path))
    assert results[0] == results[1] == results[2]


def test_few_files_keep_a_shard_each_and_very_many_share_at_least_64(tmp_path: Path) -> None:
    for files in (127, 128, 1000):
        folder = tmp_path / str(files)
        folder.mkdir()
        make_many(folder, "txt", files)
    assert groups(tmp_path, "127/many/*.txt") == [1] * 127
    assert groups(tmp_path, "128/many/*.txt") == [2] * 64
    assert groups(tmp_path, "1000/many/*.txt") == [15] * 66 + [10]
    assert groups(tmp_path, "1000/many/*.txt", shard_documents=7) == [7] * 142 + [6]


def test_a_shard_takes_no_more_files_than_one_big_file_may_have_bytes(tmp_path: Path) -> None:
    make_many(tmp_path, "txt", 640)
    for number in range(20, 25):
        with open(tmp_path / "many" / f"{number:04d}.txt", "ab") as out:
            out.truncate(CUT_ABOVE // 2)
    (tmp_path / "many" / "0030.txt").write_bytes(b"x" * (CUT_ABOVE + 1))
    # 20 goes with the two before it, 21 and 22 fill a shard, so do 23 and 24; the big one, 30, is alone
    assert groups(tmp_path, "many/*.txt")[:7] == [9, 9, 3, 2, 2, 5, 1]


def test_a_bad_line_is_quarantined_under_its_own_file(tmp_path: Path, curate: Curate) -> None:
    make_many(tmp_path)
    (tmp_path / "many" / "0123.jsonl").write_text('{"text": "good"}\n{"text": \n')
    artifact = curate({"path": "many/*.jsonl"}, steps=[], max_bad_share=0.1)
    [bad] = [json.loads(line) for line in (artifact.path / "quarantine.jsonl").read_text().splitlines()]
    assert (bad["file"], bad["line"]) == ("0123.jsonl", 2)
    assert len(seen(artifact)) == MANY


def test_every_damaged_file_is_named_though_they_share_a_shard(tmp_path: Path, curate: Curate) -> None:
    make_many(tmp_path, "jsonl.gz")
    for number in (100, 102, 200):
        file = tmp_path / "many" / f"{number:04d}.jsonl.gz"
        file.write_bytes(file.read_bytes()[:-6])
    with pytest.raises(RanksFailed, match=r"2 of 75 ranks failed") as caught:
        curate({"path": "many/*.gz"}, steps=[])
    assert all(f"0{number}.jsonl.gz:" in str(caught.value) for number in (100, 102, 200))
    artifact = curate({"path": "many/*.gz"}, steps=[], damaged_files="keep", max_bad_share=0.1)
    bad = [json.loads(line)["file"] for line in (artifact.path / "quarantine.jsonl").read_text().splitlines()]
    assert bad == ["0100.jsonl.gz", "0102.jsonl.gz", "0200.jsonl.gz"]


def test_fingerprints_tell_the_layouts_apart_and_stay_where_nothing_is_merged(tmp_path: Path) -> None:
    make_many(tmp_path, "txt", 128)
    spec = load(tmp_path, {"it": {"sources": [{"path": "many/*.txt"}]}}, steps=[])
    assert CURATION.identity(spec).config["small_files"] == "merged"
    (tmp_path / "many" / "0000.txt").unlink()
    assert "small_files" not in CURATION.identity(spec).config


def test_counts_are_told_by_folder_and_format() -> None:
    assert [pattern_of(label) for label in ("a.jsonl.gz", "x/y/b.1.txt", "c.parquet", "s3://b/d.jsonl")] == [
        "*.jsonl.gz", "x/y/*.txt", "*.parquet", "s3://b/*.jsonl",
    ]  # fmt: skip


def test_footers_are_read_once_for_a_run_however_often_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.pipeline.split.CUT_ABOVE", 10)
    for name in ("a", "b"):
        pq.write_table(pa.table({"text": [f"{name} {n}" for n in range(10)]}), tmp_path / f"{name}.parquet")
    spec = load(tmp_path, {"it": {"sources": [{"path": "*.parquet"}]}}, steps=[], shard_documents=4)
    read: list[str] = []
    rows_of = footers.rows_of

    def counted(input_file: InputFile) -> int | None:
        read.append(input_file.label)
        return rows_of(input_file)

    def die(removals: Removals) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(footers, "rows_of", counted)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Removals, "finish", die)
        run_stage(CURATION, spec, tmp_path / "out", quiet=True)
    artifact = run_stage(CURATION, spec, tmp_path / "out", quiet=True)
    assert sorted(read) == ["a.parquet", "b.parquet"]
    assert [file["documents"] for file in TaggedCorpus.open(artifact.path, "it").manifest["files"]] == [4, 4, 2] * 2


@pytest.mark.parametrize("step", ["exact_dedup", "minhash"])
def test_a_deduplication_of_too_many_shards_says_what_to_do_before_anything_is_read(tmp_path: Path, step: str) -> None:
    refused = run_limited(tmp_path, step, soft=90, hard=90)
    assert refused.returncode == 2 and f"the step {step} (40 shards) opens" in refused.stderr
    assert "ulimit -n" in refused.stderr
    [partial] = partials_of(tmp_path / "out")
    assert not (partial / "corpora").exists() and not (partial / "work" / "passes").exists()


def test_a_deduplication_raises_a_low_limit_of_open_files(tmp_path: Path) -> None:
    assert run_limited(tmp_path, "exact_dedup", soft=90, hard=1000).returncode == 0


def run_limited(folder: Path, step: str, soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    """The command on forty shards, in a process that may open so many files."""
    make_many(folder, "txt", 40)
    load(folder, {"it": {"sources": [{"path": "many/*.txt"}]}}, steps=[{"step": step}])
    command = [sys.executable, "-m", "hormesis", "run", "job.yaml", "--out", "out", "--workers", "1"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )  # fmt: skip
