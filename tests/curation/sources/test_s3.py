"""Sources in a bucket, and an artifact published there, against a local S3 server.

Covers curation.sources.listing, curation.sources.input_files and curation.sources.versions.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.artifacts.artifact import read_artifact, verify
from infra.artifacts.transfer import copy_artifact
from infra.config.spec import load_spec
from infra.errors import InputError
from infra.stages.stage import run_stage
from tests.helpers import ROOT
from tests.helpers.corpora import Curate, load

SETTINGS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A local S3 server; returns its address."""
    moto = pytest.importorskip("moto.server", reason="needs the packages moto[server] and s3fs (extra: s3, dev)")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with three shards of 20 documents; the settings are what a user would export."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("corpora")
    for shard in range(3):
        put(shard, "you idiot" if shard == 1 else "a reader")
    yield "s3://corpora"
    filesystem.rm("corpora", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def put(shard: int, who: str) -> None:
    import s3fs

    lines = "".join(json.dumps({"text": f"Document {n} of shard {shard}, {who}."}) + "\n" for n in range(20))
    s3fs.S3FileSystem().pipe_file(f"corpora/raw/{shard}.jsonl", lines.encode())


@pytest.mark.parametrize("workers", [1, 2])
def test_sources_in_a_bucket_are_read_by_every_worker(bucket: str, curate: Curate, workers: int) -> None:
    artifact = curate({"path": f"{bucket}/raw/*.jsonl"}, workers=workers)
    documents = list(TaggedCorpus.open(artifact.path, "it").documents())
    assert [document.source for document in documents] == [f"{shard}.jsonl" for shard in range(3) for _ in range(20)]
    assert documents[20].text == "Document 0 of shard 1, you idiot." and documents[20].scores["toxicity"] > 0.5


def test_the_fingerprint_follows_what_is_in_the_bucket_not_when_it_was_put_there(bucket: str, tmp_path: Path) -> None:
    spec = load(tmp_path, {"it": {"sources": [{"path": f"{bucket}/raw/*.jsonl"}]}})
    before = CURATION.fingerprint(spec)
    put(0, "a reader")
    assert CURATION.fingerprint(spec) == before
    put(0, "a writer")
    assert CURATION.fingerprint(spec) != before


def test_what_a_step_reads_of_a_bucket_is_what_was_fingerprinted(bucket: str, tmp_path: Path) -> None:
    from infra.artifacts.inputs import changed_file, watched_files

    against = {"mmlu": {"path": f"{bucket}/raw/0.jsonl"}}
    spec = load(tmp_path, {"it": {"sources": [{"path": f"{bucket}/raw/1.jsonl"}]}},
                steps=[{"step": "decontaminate", "against": against, "n_grams": 3}])  # fmt: skip
    with watched_files() as watched:
        before = CURATION.fingerprint(spec)
    assert changed_file(watched) is None
    put(0, "a writer")
    assert changed_file(watched) == f"{bucket}/raw/0.jsonl" and CURATION.fingerprint(spec) != before


def test_an_artifact_is_published_and_fetched(bucket: str, curate: Curate, tmp_path: Path) -> None:
    artifact = curate({"path": f"{bucket}/raw/*.jsonl"})
    copy_artifact(str(artifact.path), f"{bucket}/runs/it", lambda count: None)
    copy_artifact(f"{bucket}/runs/it", str(tmp_path / "fetched"), lambda count: None)
    fetched = read_artifact(tmp_path / "fetched", "curation")
    verify(fetched)
    assert fetched.fingerprint == artifact.fingerprint


def test_a_bucket_that_cannot_be_read_is_named(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    for path, why in (("s3://elsewhere/*.jsonl", "s3://elsewhere/"), (f"{bucket}/none/*.jsonl", "no file matches")):
        with pytest.raises(InputError, match=why):
            CURATION.identity(load(tmp_path, {"it": {"sources": [{"path": path}]}}))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(InputError, match=r"s3://corpora/raw/\*.jsonl: cannot be listed: .*127\.0\.0\.1:9"):
        CURATION.identity(load(tmp_path, {"it": {"sources": [{"path": f"{bucket}/raw/*.jsonl"}]}}))


EXAMPLE = ROOT / "examples" / "curation-ray-s3.yaml"
# In place of what would be downloaded, needs longer or more documents, or takes long to start.
OFFLINE = [
    "steps.0={step: exact_dedup}", "steps.1={step: regex, regex_exp: unwanted, corpora: [web]}",
    "steps.3={step: exact_dedup}", "steps.4.scorer={name: profanity}", "steps.4.survey=100",
    "steps.5.scorer={name: profanity}",
]  # fmt: skip


def test_the_example_for_a_cluster_runs_on_a_bucket(bucket: str, tmp_path: Path) -> None:
    import s3fs

    for corpus in ("web", "forum"):
        for number in range(2):
            rows = [{"id": f"{corpus}-{number}-{n}", "text": f"Page {n} of part {number}, by {corpus}@here.net",
                     "source": "x", "created": "2023-01-01"} for n in range(12)]  # fmt: skip
            packed = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
            s3fs.S3FileSystem().pipe_file(f"corpora/dolma/{corpus}/documents/{number}/a.json.gz", packed)
    file = tmp_path / "job.yaml"
    file.write_text(EXAMPLE.read_text().replace("s3://my-bucket", bucket))
    _, spec = load_spec(file, {"curation": lambda: CurationSpec}, OFFLINE)
    artifact = run_stage(CURATION, spec, tmp_path / "web", quiet=True)
    web, forum = (TaggedCorpus.open(artifact.path, name) for name in ("web", "forum"))
    assert web.attributes == ("toxicity", "seen", "gate") and forum.attributes == ("toxicity",)
    first = next(web.documents())
    assert first.metadata["source"] == "x" and first.text.endswith(("example.com", "example.org"))
    removed = [sum(reasons.values()) for corpus in (web, forum) for reasons in corpus.manifest["removed"].values()]
    assert web.manifest["documents"] + forum.manifest["documents"] + sum(removed) == 48
