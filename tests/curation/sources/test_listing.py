"""What a pattern means: nothing that matches it is passed over without a word, before anything is read.

Covers curation.sources.listing.
"""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.sources.input_files import input_files_of
from curation.sources.spec import SourceSpec
from curation.stage import CURATION
from infra.errors import InputError
from tests.helpers.corpora import Curate, load, write_jsonl


def make(folder: Path, *names: str) -> None:
    for name in names:
        write_jsonl(folder / name, [{"text": name}])


def labels(pattern: str | Path) -> list[str]:
    return [input_file.label for input_file in input_files_of(SourceSpec(path=str(pattern)), 0)]


HIDDEN = ("._a.jsonl", ".ipynb_checkpoints/a.jsonl", "b/.git/x.jsonl", "b/_temporary/0/part.jsonl", "_delta_log/0.json")


def test_hidden_files_are_read_only_where_the_pattern_asks_for_them(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b/c.jsonl", "_own.jsonl", *HIDDEN)
    (tmp_path / "_SUCCESS").touch()
    assert labels(tmp_path / "**" / "*.json*") == ["_own.jsonl", "a.jsonl", "b/c.jsonl"]
    assert labels(tmp_path / "**") == ["_own.jsonl", "a.jsonl", "b/c.jsonl"]
    assert labels(tmp_path / "*" / "*.jsonl") == ["b/c.jsonl"]
    assert labels(tmp_path / ".*.jsonl") == ["._a.jsonl"]
    assert labels(tmp_path / ".ipynb_checkpoints" / "*.jsonl") == ["a.jsonl"]
    assert labels(tmp_path / "**" / ".git" / "*.jsonl") == ["b/.git/x.jsonl"]
    assert labels(tmp_path / "._a.jsonl") == ["._a.jsonl"]


def test_hidden_files_of_a_url_are_left_out_alike() -> None:
    for name in ("a.jsonl", *HIDDEN):
        with fsspec.open(f"memory://hidden/{name}", "w") as file:
            file.write('{"text": "x"}\n')
    assert labels("memory://hidden/**/*.json*") == ["a.jsonl"]
    assert labels("memory://hidden/b/.git/*.jsonl") == ["x.jsonl"]


def test_what_is_left_out_is_named_by_the_run_and_by_the_plan(tmp_path: Path, curate: Curate) -> None:
    make(tmp_path, "data/a.jsonl", "data/._a.jsonl", "data/.old/b.jsonl", "other/c.jsonl")
    (tmp_path / "data" / "more").symlink_to("../other")
    path = {"path": "data/**/*.jsonl"}
    artifact = curate(path, steps=[])
    assert [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()] == ["data/a.jsonl"]
    (note,) = [note for note in artifact.notes if "left out" in note]
    assert "._a.jsonl, .old/: hidden" in note and "more: a link to a folder" in note and str(tmp_path) not in note
    assert note in CURATION.plan(load(tmp_path, {"it": {"sources": [path]}}, steps=[])).notes


@pytest.mark.parametrize("pattern", ["*.jsonl", "**/*.jsonl", "b.jsonl", "b*/*.jsonl"])
def test_a_link_that_leads_nowhere_or_to_itself_is_named_before_anything_is_read(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a.jsonl")
    link = tmp_path / "b.jsonl"
    link.symlink_to("gone.jsonl")
    with pytest.raises(InputError, match=r"b\.jsonl: the link leads nowhere"):
        labels(tmp_path / pattern)
    link.unlink()
    link.symlink_to("b.jsonl")
    with pytest.raises(InputError, match=r"b\.jsonl: the link leads back to itself"):
        labels(tmp_path / pattern)


def test_links_to_files_are_read_and_links_that_nobody_asks_for_do_no_harm(tmp_path: Path) -> None:
    make(tmp_path, "blobs/x", "s/a.jsonl")
    (tmp_path / "s" / "b.jsonl").symlink_to("../blobs/x")
    (tmp_path / "s" / "notes.md").symlink_to("gone.md")
    (tmp_path / "s" / "again").symlink_to(".")
    (tmp_path / "t").symlink_to("s")
    assert labels(tmp_path / "s" / "**" / "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert labels(tmp_path / "t" / "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert labels(tmp_path / "[st]" / "*.jsonl") == ["s/a.jsonl", "s/b.jsonl", "t/a.jsonl", "t/b.jsonl"]


def test_folders_and_pipes_called_like_files_and_folders_without_wildcards_are_named(tmp_path: Path) -> None:
    make(tmp_path, "s/a.jsonl", "s/out.jsonl/part.jsonl", "s/sub/b.jsonl")
    with pytest.raises(InputError, match=r"out\.jsonl: a folder; name the files in it, as in .*out\.jsonl/\*\.jsonl"):
        labels(tmp_path / "s" / "*.jsonl")
    with pytest.raises(InputError, match=r"s: a folder; name the files in it"):
        labels(tmp_path / "s")
    assert labels(tmp_path / "s" / "**" / "*.jsonl") == ["a.jsonl", "out.jsonl/part.jsonl", "sub/b.jsonl"]
    os.mkfifo(tmp_path / "s" / "sub" / "pipe.jsonl")
    with pytest.raises(InputError, match=r"pipe\.jsonl: not a file"):
        labels(tmp_path / "s" / "sub" / "*.jsonl")


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.jsonl", "b/c.jsonl")
    scandir = os.scandir

    def closed(folder: str) -> object:
        if folder.endswith("/b"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr("curation.sources.listing.os.scandir", closed)
    for pattern in ("**/*.jsonl", "*/*.jsonl"):
        with pytest.raises(InputError, match=r"/b: this folder cannot be read: Permission denied"):
            labels(tmp_path / pattern)


def test_formats_that_are_not_read_are_named_and_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.jsonl", "b.csv", "c.jsonl.bak")
    with pytest.raises(InputError, match=r"b\.csv: unknown format \(and 1 more files\); the suffix must be one of"):
        labels(tmp_path / "*")


def test_where_only_hidden_files_match_the_message_says_so(tmp_path: Path) -> None:
    make(tmp_path, ".a.jsonl")
    with pytest.raises(InputError, match=r"no file matches; left out: \.a\.jsonl: hidden"):
        labels(tmp_path / "*.jsonl")


def test_a_web_server_that_does_not_answer_is_no_missing_file(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(InputError, match=r"http://127.0.0.1:9/a.jsonl: cannot be listed: .*127.0.0.1:9"):
        input_files_of(SourceSpec(path="http://127.0.0.1:9/a.jsonl"), 0)
