"""What is fingerprinted is what is read: a file that changes under a run stops it, and nothing of it is kept.

Covers curation.sources.unchanged and curation.sources.versions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.pipeline import passes
from curation.pipeline.split import pieces_of
from curation.sources import read
from curation.sources.input_files import content_of, input_files_of
from curation.sources.read import read_input_file
from curation.sources.spec import SourceSpec
from infra.errors import DataError, RanksFailed
from tests.helpers.corpora import Curate, write_jsonl

OLD, NEW = [{"text": "old text 1"}], [{"text": "new text 2"}]


def texts(artifact: Any) -> list[str]:
    return [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()]


def by_overwrite(file: Path) -> None:
    """Other content of the same size at the same time: only the inode's own time tells."""
    status = file.stat()
    write_jsonl(file, NEW)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def by_rename(file: Path) -> None:
    os.replace(write_jsonl(file.with_name("new"), NEW), file)


@pytest.mark.parametrize("change", [by_overwrite, by_rename])
@pytest.mark.parametrize("limit", [None, 2])
def test_a_file_that_changes_after_its_fingerprint_stops_the_run_and_its_text_is_not_served_later(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], limit: int | None
) -> None:
    write_jsonl(tmp_path / "data" / "a.jsonl", [{"text": "the other file"}])
    file = write_jsonl(tmp_path / "data" / "b.jsonl", OLD * 5)

    def changed_meanwhile(*arguments: Any) -> Any:
        change(file)
        return pieces_of(*arguments)

    with monkeypatch.context() as patch, pytest.raises(RanksFailed, match=r"b\.jsonl:1: changed since the run began"):
        patch.setattr(passes, "pieces_of", changed_meanwhile)
        curate({"path": "data/*.jsonl"}, steps=[], limit=limit)
    assert not (tmp_path / "out").exists()
    write_jsonl(file, OLD * 5)
    assert texts(curate({"path": "data/*.jsonl"}, steps=[], limit=limit))[1] == "old text 1"


def test_a_file_that_changes_while_it_is_read_is_named(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", OLD * 1000)  # too large to be read at once
    (input_file,) = input_files_of(SourceSpec(path=str(file)), 0)
    documents = read_input_file(input_file, lambda bad: None)
    next(documents)
    with open(file, "a") as out:
        out.write('{"text": "added"}\n')
    with pytest.raises(DataError, match=r"^a\.jsonl:1: changed since the run began"):
        list(documents)


def test_a_small_file_is_read_at_once_and_what_is_written_to_it_meanwhile_changes_nothing(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", OLD * 3)
    (input_file,) = input_files_of(SourceSpec(path=str(file)), 0)
    documents = read_input_file(input_file, lambda bad: None)
    first = next(documents)
    write_jsonl(file, NEW * 3)
    assert [document.text for document in (first, *documents)] == ["old text 1"] * 3


def test_an_attribute_file_that_changes_is_named(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "documents" / "a.jsonl", [{"id": "1", "text": "one"}])
    row = {"id": "1", "attributes": {"toxic": [[0, 3, 0.5]]}}
    beside = write_jsonl(tmp_path / "attributes" / "jigsaw" / "a.jsonl", [row])
    attribute = {"folder": "jigsaw", "key": "toxic", "score": "toxicity"}
    source = SourceSpec.model_validate({"path": str(file), "id": "id", "attributes": [attribute]})
    (input_file,) = input_files_of(source, 0)
    write_jsonl(beside, [{**row, "attributes": {"toxic": [[0, 3, 0.1]]}}])
    with pytest.raises(DataError, match=r"attributes/jigsaw/a\.jsonl:1: changed since the run began"):
        list(read_input_file(input_file, lambda bad: None))


def test_a_file_of_a_url_that_changes_is_named() -> None:
    import fsspec

    def write(text: str) -> None:
        with fsspec.open("memory://changing/a.jsonl", "w") as out:
            out.write(json.dumps({"text": text}) + "\n")

    write("old")
    (input_file,) = input_files_of(SourceSpec(path="memory://changing/*.jsonl"), 0)
    assert [document.text for document in read_input_file(input_file, lambda bad: None)] == ["old"]
    write("longer")
    with pytest.raises(DataError, match=r"a\.jsonl:1: changed since the run began"):
        list(read_input_file(input_file, lambda bad: None))


def test_a_folder_of_a_data_set_that_changes_is_named_and_its_hidden_files_do_not_count(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "set" / "train.jsonl", OLD)
    source = SourceSpec(path=f"hf:{tmp_path}/set")
    content = content_of(source)
    write_jsonl(tmp_path / "set" / ".cache" / "x.jsonl", OLD)
    assert content_of(source) == content
    (input_file,) = input_files_of(source, 0)
    write_jsonl(tmp_path / "set" / "train2.jsonl", OLD)
    with pytest.raises(DataError, match="changed since the run began"):
        list(read_input_file(input_file, lambda bad: None))


def test_a_data_set_of_the_hub_is_read_at_the_commit_of_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.sources import hub

    commits = iter(["a" * 40, "b" * 40])

    class Api:
        def dataset_info(self, name: str, revision: str, timeout: float) -> Any:
            return type("Info", (), {"sha": next(commits)})

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    hub._commit.cache_clear()
    source = SourceSpec(path="hf:org/moving")
    assert content_of(source)[2] == "a" * 40
    (input_file,) = input_files_of(source, 0)
    seen: list[SourceSpec] = []
    monkeypatch.setattr(read, "rows", lambda source: seen.append(source) or iter(()))
    list(read_input_file(input_file, lambda bad: None))
    assert [source.revision for source in seen] == ["a" * 40] and input_file.label == "hf:org/moving"
    hub._commit.cache_clear()
