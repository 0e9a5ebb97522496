"""A stage reads what its inputs' `artifact.json` says, or it does not begin.

Covers infra.artifacts.artifact and infra.artifacts.inputs.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import infra.files.digests
from infra.artifacts.artifact import describe_files, fingerprint_of, now, write_manifest
from infra.artifacts.inputs import TRUST, input_digest, open_input
from infra.config.spec import Spec
from infra.errors import ArtifactError, InputError
from infra.files import digest_cache
from infra.render.page import Page, Plan
from infra.stages.result_folders import partials_of
from infra.stages.stage import Identity, Stage, run_stage


class CopySpec(Spec):
    origin: str


CALLS: list[str] = []


def run(spec, work):
    CALLS.append(spec.origin)
    (work.path / "copy.txt").write_bytes(Path(spec.origin, "text.txt").read_bytes())
    return {}


COPY = Stage(
    kind="copy", version=1, spec=CopySpec, run=run,
    identity=lambda spec: Identity({}, {"origin": fingerprint_of(spec.origin, "text")}),
    plan=lambda spec: Plan("", ()), show=lambda artifact: Page("", (), ""),
)  # fmt: skip


@pytest.fixture
def origin(tmp_path, monkeypatch):
    """An artifact of two files, in a folder and below it."""
    CALLS.clear()
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "_RACY", 0)
    monkeypatch.setattr(infra.files.digests, "_QUICK", 0)  # small files too are remembered here
    folder = tmp_path / "origin"
    (folder / "below").mkdir(parents=True)
    (folder / "text.txt").write_text("a text")
    (folder / "below" / "more.txt").write_text("more text")
    about = {"kind": "text", "version": 1, "fingerprint": "f" * 64, "started": now()}
    write_manifest(folder, describe_files(folder), config={}, inputs={}, counts={}, notes=[], **about)
    return folder


def flip(file):
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)


def start(origin, tmp_path, name="copy"):
    return run_stage(COPY, CopySpec(origin=str(origin)), tmp_path / name, quiet=True)


@pytest.mark.parametrize("name", ["text.txt", "below/more.txt"])
def test_a_stage_does_not_begin_on_a_damaged_input(origin, tmp_path, name):
    flip(origin / name)
    with pytest.raises(ArtifactError, match=rf"{name}: content differs from its checksum, so the text artifact .*copy"):
        start(origin, tmp_path)
    assert not CALLS and not list(tmp_path.glob("*copy*"))


def test_who_trusts_his_inputs_gets_them_as_they_are(origin, tmp_path, monkeypatch):
    flip(origin / "text.txt")
    monkeypatch.setenv(TRUST, "0")
    with pytest.raises(ArtifactError):
        start(origin, tmp_path)
    monkeypatch.setenv(TRUST, "1")
    start(origin, tmp_path)
    assert open_input(origin).kind == "text" and input_digest(origin / "text.txt") and CALLS


def test_nothing_is_read_where_there_is_nothing_to_do_nor_for_a_second_reader(origin, tmp_path, monkeypatch):
    start(origin, tmp_path)
    opened = []
    really = os.open
    monkeypatch.setattr(os, "open", lambda path, *more, **named: opened.append(path) or really(path, *more, **named))
    start(origin, tmp_path)
    start(origin, tmp_path, "another")
    open_input(tmp_path / "copy")
    assert not [path for path in opened if Path(path).parent in (origin, tmp_path / "copy")]


def test_a_cache_that_is_wrong_condemns_no_artifact(origin):
    file = origin / "text.txt"
    digest_cache.remember([(str(file), digest_cache.Stamp.of(file.stat()), "0" * 64)])
    assert open_input(origin).kind == "text"


def test_only_what_is_read_is_compared_where_that_is_said(origin):
    flip(origin / "text.txt")
    open_input(origin, "text", below="below/")
    with pytest.raises(ArtifactError):
        open_input(origin, "text")
    with pytest.raises(InputError, match="is a text artifact"):
        open_input(origin, "mixture")


def test_a_file_named_by_its_path_must_be_what_its_artifact_says(origin, tmp_path):
    (origin / "stranger.txt").write_text("not of the artifact")
    assert input_digest(origin / "below" / "more.txt") and input_digest(origin / "stranger.txt")
    flip(origin / "below" / "more.txt")
    with pytest.raises(ArtifactError, match=r"more\.txt: content differs"):
        input_digest(origin / "below" / "more.txt")


class ReadSpec(Spec):
    file: str


def reads(change):
    """A stage that reads a file, which `change` is done to meanwhile."""

    def run(spec, work):
        (work.path / "copy.txt").write_bytes(Path(spec.file).read_bytes())
        change(Path(spec.file))
        return {}

    return Stage(
        kind="read", version=1, spec=ReadSpec, run=run,
        identity=lambda spec: Identity({}, {"file": input_digest(spec.file)}),
        plan=lambda spec: Plan("", ()), show=lambda artifact: Page("", (), ""),
    )  # fmt: skip


@pytest.mark.parametrize("change", [lambda file: file.write_text("two"), lambda file: file.write_text("longer")])
def test_a_file_that_changes_while_a_stage_uses_it_leaves_no_artifact_and_no_work_to_go_on_with(tmp_path, change):
    file = tmp_path / "list.txt"
    file.write_text("one")
    with pytest.raises(InputError, match=r"list\.txt: changed while it was in use.*the work is in .*changed-\d+"):
        run_stage(reads(change), ReadSpec(file=str(file)), tmp_path / "out")
    assert not (tmp_path / "out").exists() and not partials_of(tmp_path / "out")
    assert len(list(tmp_path.glob(".out.*.partial.changed-*/copy.txt"))) == 1


TOUCHES = [lambda file: file.touch(), lambda file: file.chmod(0o600), lambda file: file.unlink()]


@pytest.mark.parametrize("change", TOUCHES)
def test_a_file_that_is_only_touched_or_put_away_is_no_change(tmp_path, change):
    file = tmp_path / "list.txt"
    file.write_text("one")
    artifact = run_stage(reads(change), ReadSpec(file=str(file)), tmp_path / "out")
    assert (artifact.path / "copy.txt").read_text() == "one"
