"""A build gives the same bytes on one worker, on several and on Ray, and does not do again what is there already.

Covers mixtures.building.build, mixtures.store.inner and mixtures.store.locations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.safety.chaos import contents
from infra.cluster import RayCluster
from infra.stages.stage import run_stage
from mixtures.building import build as building
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE
from mixtures.tokenizing import corpus_tokens
from tests.helpers.tagged_corpora import build, clean_documents, mixture_spec, risky_documents, write_curation


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand even the smallest corpus to workers."""
    monkeypatch.setattr(corpus_tokens, "SMALL", 0)
    monkeypatch.setattr(building, "SMALL", 0)


@pytest.fixture(scope="module")
def everything(curation: Path, tmp_path_factory: pytest.TempPathFactory) -> MixtureSpec:
    """A mixture that asks for all that workers do: tokens, prefixes, a set to look for, equal documents."""
    documents = clean_documents(200)  # as the curation has them
    quiz = tmp_path_factory.mktemp("sets") / "quiz.jsonl"
    texts = [" ".join(documents[number].text.split()[:12]) for number in (3, 90, 170)]
    quiz.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    against = {"quiz": {"path": str(quiz)}}
    return mixture_spec(
        curation,
        conditioning={"prefixes": "toxicity: {toxicity:.1f}\n", "cooldown": 0.2},
        decontaminate={"against": against, "n_grams": 8, "max_inside": 1.0},
        overlap={"n_grams": 3, "num_buckets": 2},
    )


@pytest.fixture(scope="module")
def alone(everything: MixtureSpec, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of what one worker makes of it, store included."""
    folder = tmp_path_factory.mktemp("alone")
    built = build(everything, folder / "m")
    assert sum(built.manifest.decontamination.documents.values()) >= 2 and built.manifest.overlap
    return contents(folder)


def test_several_workers_write_the_same_bytes_and_figures(
    everything: MixtureSpec, alone: dict[str, str], tmp_path: Path
) -> None:
    build(everything, tmp_path / "m", workers=2)
    assert contents(tmp_path) == alone
    stored = {name.split("/")[1].split("-")[0] for name in alone if name.startswith("store/")}
    assert {"tokens", "contamination", "duplicates"} <= stored


def test_ray_writes_the_same_bytes_and_figures(
    everything: MixtureSpec, alone: dict[str, str], tmp_path: Path, cluster: Any
) -> None:
    ray = RayCluster(cluster.address, 2)
    run_stage(MIXTURE, everything, tmp_path / "m", store=tmp_path / "store", quiet=True, ray=ray)
    assert contents(tmp_path) == alone


def test_a_document_longer_than_a_sequence_and_than_its_component(tmp_path: Path) -> None:
    documents = clean_documents(60)
    documents[7].text = " ".join(document.text for document in documents) * 20
    corpora = {"clean": documents, "forum": risky_documents(60)}
    components = {"clean": {"corpus": "clean", "tokens": 5000}, "risky": {"corpus": "forum", "tokens": 100}}
    curated = write_curation(tmp_path / "demo", corpora)
    built = build(mixture_spec(curated, components=components, hold_out={}, sequence_length=16), tmp_path / "m")
    files, _ = built.component("clean").open()
    assert built.component("clean").tokens == 5000 and max(files.lengths) > 16 * 20


def test_tokenizers_and_tokens_are_not_built_twice(curation: Path, tmp_path: Path) -> None:
    build(mixture_spec(curation), tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")}
    build(mixture_spec(curation, sequence_length=128), tmp_path / "b")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*")} == before
