"""The stage: same bytes for any number of workers and after any kill, and a corpus that reads back as written.

Covers curation.stage, curation.spec, curation.corpus.tagged, curation.corpus.documents, curation.pipeline.passes,
curation.pipeline.finish, curation.shards.shard, curation.shards.shards, curation.shards.reading,
curation.shards.removed and curation.shards.spill.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.corpus.records import Span
from curation.corpus.tagged import TaggedCorpus, schema
from curation.stage import CURATION
from infra.errors import InputError
from infra.stages.stage import run_stage
from tests.helpers import ROOT
from tests.helpers.corpora import SCORE, TAG, Curate, load, write_jsonl

TAGGED = [SCORE, TAG]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an artifact by its bytes, without the record of when and where."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def many_files(folder: Path, files: int = 6, lines: int = 40) -> dict:
    for file in range(files):
        names = ["idiot" if n % 5 == 0 else "reader" for n in range(lines)]
        records = [{"text": f"Line {n} of file {file}, you {name}."} for n, name in enumerate(names)]
        write_jsonl(folder / "data" / f"{file}.jsonl.gz", records)
    return {"path": "data/*.jsonl.gz"}


def test_the_corpus_reads_back_with_scores_spans_and_places(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "A fine day 😀."}, {"text": "So what, 😀 you idiot!", "key": {"n": 1}}])
    artifact = curate({"path": "a.jsonl", "keep": ["key"], "id": None}, steps=TAGGED)
    first, document = TaggedCorpus.open(artifact.path, "it").documents()
    assert first.metadata == {"key": None}  # the first line has no key to keep
    (span,) = document.spans or ()
    assert document.text[span.start : span.end] == "idiot"
    assert span == Span(15, 20, "toxicity", span.score) and span.score > 0.9
    assert document.scores["toxicity"] > 0.5
    assert (document.metadata, document.shard, document.row) == ({"key": {"n": 1}}, "00000.parquet", 1)
    assert pq.read_schema(artifact.path / "corpora" / "it" / "00000.parquet").equals(schema())


def test_untagged_and_nothing_found_are_told_apart(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "A fine day."}])
    strict = {**TAG, "tagger": {**TAG["tagger"], "keep_at_or_above": 0.5}}
    for steps, expected in (([SCORE], None), ([SCORE, strict], [])):
        artifact = curate({"path": "a.jsonl"}, steps=steps, out=f"out-{expected}")
        corpus = TaggedCorpus.open(artifact.path, "it")
        assert [document.spans for document in corpus.documents()] == [expected]
        assert corpus.tagged is (expected is not None)


def test_a_long_document_is_as_risky_as_its_riskiest_passage(tmp_path: Path, curate: Curate) -> None:
    clean = "The committee met on Tuesday and discussed the budget of the library. " * 40
    write_jsonl(tmp_path / "a.jsonl", [{"text": clean}, {"text": clean + "You stupid idiot. " + clean}])
    harmless, risky = TaggedCorpus.open(curate({"path": "a.jsonl"}).path, "it").documents()
    assert harmless.scores["toxicity"] < 0.1 < 0.5 < risky.scores["toxicity"]


def test_one_worker_and_two_write_the_same_bytes(tmp_path: Path, curate: Curate, sentences: dict) -> None:
    forum = {"path": "synthetic:forum", "documents": 700, "sentences": [sentences]}
    sources = (many_files(tmp_path), forum)
    one = curate(*sources, steps=TAGGED, workers=1, out="one")
    two = curate(*sources, steps=TAGGED, workers=2, out="two")
    assert contents(one.path) == contents(two.path)
    assert len(contents(one.path)) == 6 + 2 + 2  # shards of files, of threads, manifest and quarantine
    assert one.fingerprint == two.fingerprint


def test_a_limit_takes_the_first_documents_over_all_files(tmp_path: Path, curate: Curate) -> None:
    artifact = curate(many_files(tmp_path), limit=50)
    texts = [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()]
    assert len(texts) == 50
    assert texts[0].startswith("Line 0 of file 0") and texts[-1].startswith("Line 9 of file 1")


def test_a_second_run_does_nothing_and_another_content_is_another_artifact(tmp_path: Path, curate: Curate) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}])
    first = curate({"path": "a.jsonl"})
    assert curate({"path": "a.jsonl"}).ended == first.ended
    write_jsonl(path, [{"text": "two"}])
    second = curate({"path": "a.jsonl"})
    assert second.path != first.path and second.fingerprint != first.fingerprint


def test_identity_depends_on_settings_and_not_on_folders(tmp_path: Path) -> None:
    fingerprints = []
    for folder in ("here", "there"):
        write_jsonl(tmp_path / folder / "a.jsonl", [{"text": "one"}])
        fingerprints.append(CURATION.fingerprint(load(tmp_path / folder, {"it": {"sources": [{"path": "a.jsonl"}]}})))
    tagged = load(tmp_path / "here", {"it": {"sources": [{"path": "a.jsonl"}]}}, steps=TAGGED)
    assert fingerprints[0] == fingerprints[1] != CURATION.fingerprint(tagged)


RUN = """
import sys
from pathlib import Path
from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.config.spec import load_spec
from infra.stages.stage import run_stage
if __name__ == "__main__":
    spec = load_spec(Path(sys.argv[1]), {"curation": lambda: CurationSpec})[1]
    run_stage(CURATION, spec, Path(sys.argv[2]), workers=int(sys.argv[3]), quiet=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_in_the_middle_is_taken_up_and_ends_with_the_same_bytes(
    tmp_path: Path, sentences: dict, workers: int
) -> None:
    forum = {"path": "synthetic:forum", "documents": 8000, "sentences": [sentences]}
    spec = load(tmp_path, {"it": {"sources": [many_files(tmp_path), forum]}}, steps=TAGGED)
    script = tmp_path / "run_it.py"
    script.write_text(RUN)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(script), str(tmp_path / "job.yaml"), str(tmp_path / "killed"), str(workers)]
    process = subprocess.Popen(command, env=environment)
    done = wait_for_some_tasks(tmp_path, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed").exists()
    killed = run_stage(CURATION, spec, tmp_path / "killed", quiet=True)
    undisturbed = run_stage(CURATION, spec, tmp_path / "undisturbed", workers=2, quiet=True)
    assert 0 < done < 6 + 16
    assert contents(killed.path) == contents(undisturbed.path)
    assert not list(tmp_path.glob(".killed*"))


def wait_for_some_tasks(folder: Path, process: subprocess.Popen) -> int:
    """Wait until the run has finished a few of its tasks; returns how many."""
    for _ in range(30_000):  # five minutes, for a busy machine
        done = len(list(folder.glob(".killed.*.partial/*/*/*/*/completions/*")))
        if done >= 4:
            return done
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    raise AssertionError("the run never finished a task")


def test_opening_what_is_not_there_names_what_is(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}])
    artifact = curate({"path": "a.jsonl"})
    with pytest.raises(InputError, match=r'has no corpus "itt"; there are: it; did you mean "it"\?'):
        TaggedCorpus.open(artifact.path, "itt")
    with pytest.raises(InputError, match="not a curation artifact"):
        TaggedCorpus.open(tmp_path, "it")


def test_the_plan_counts_files_without_reading_them(tmp_path: Path, sentences: dict) -> None:
    forum = {"path": "synthetic:forum", "documents": 1200, "sentences": [sentences]}
    plan = CURATION.plan(load(tmp_path, {"it": {"sources": [many_files(tmp_path), forum]}}))
    (files, threads) = plan.tables[0].rows
    size = sum(path.stat().st_size for path in (tmp_path / "data").iterdir())
    assert (files[2], files[3], files[4]) == (6, None, size)
    assert (threads[2], threads[3], threads[4]) == (3, 1200, None)
