"""Builds that are handed over to workers: long documents, and what is there already."""

from __future__ import annotations

from pathlib import Path

import pytest
from tagged import build, clean_documents, mixture_spec, risky_documents, write_curation

from mixtures import build as building
from mixtures import tokens


@pytest.fixture(autouse=True)
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hand even the smallest corpus to workers."""
    monkeypatch.setattr(tokens, "SMALL", 0)
    monkeypatch.setattr(building, "SMALL", 0)


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
