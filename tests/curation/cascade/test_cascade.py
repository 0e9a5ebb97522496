"""The step `cascade` in a whole curation: what it gives to every document, and whether the recall it states is true.

Covers curation.cascade.survey and curation.steps.cascade.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curation.cascade.survey import draws
from curation.corpus.records import Document
from curation.corpus.tagged import TaggedCorpus
from curation.pipeline.passes import Curation
from curation.stage import CURATION
from infra.artifacts.artifact import Artifact
from infra.errors import InputError, RanksFailed
from tests.helpers.corpora import SCORE, SENTENCES, Curate, load, write_jsonl

CASCADE: dict[str, Any] = {
    "step": "cascade", "gate": {"name": "profanity"}, "scorer": {"name": "profanity"}, "recall": 0.9,
    "confidence": 0.9, "survey": 300, "audit": 1.0, "passage": 200,
}  # fmt: skip
RUDE = ("you idiot", "what a stupid idea", "such garbage", "quite dumb", "a damn shame", "hello there")


@pytest.fixture
def corpus(tmp_path: Path) -> dict:
    """900 documents in three files, half of them more or less rude."""
    for file in range(3):
        texts = [f"Line by a reader, {RUDE[n // 2 % 6]}." if n % 2 else SENTENCES[n % 64] for n in range(300)]
        write_jsonl(
            tmp_path / "data" / f"{file}.jsonl", [{"text": f"{text} {file}{n}"} for n, text in enumerate(texts)]
        )
    return {"path": "data/*.jsonl"}


def documents(artifact: Artifact) -> list[Document]:
    return list(TaggedCorpus.open(artifact.path, "it").documents())


def report(artifact: Artifact) -> dict[str, Any]:
    return json.loads((artifact.path / "manifest.json").read_text())["steps"][-1]


def test_every_document_has_every_score_and_those_seen_have_the_costly_ones(corpus: dict, curate: Curate) -> None:
    plain = documents(curate(corpus, steps=[SCORE], out="plain"))
    cascaded = curate(corpus, steps=[{**CASCADE, "audit": 0.2}])
    stated, scored = report(cascaded), documents(cascaded)
    assert [document.text for document in scored] == [document.text for document in plain]
    assert all(list(document.scores) == ["toxicity", "seen", "gate"] for document in scored)
    for document, truth in zip(scored, plain, strict=True):
        if document.scores["seen"]:
            assert document.scores["toxicity"] == truth.scores["toxicity"]
        else:
            assert document.scores["gate"] < stated["threshold"]
            assert document.scores["toxicity"] == pytest.approx(stated["estimates"]["toxicity"])
    seen = sum(document.scores["seen"] for document in scored)
    assert stated["seen by the costly scorer"] == pytest.approx(seen / 900) and 300 < seen < 900


def test_the_recall_stated_is_the_one_reached(corpus: dict, curate: Curate) -> None:
    cascaded = curate(corpus, steps=[CASCADE])
    stated, scored = report(cascaded), documents(cascaded)
    outside = stated["outside the survey"]
    assert all(document.scores["seen"] for document in scored)  # an audit of everything
    risky = [document for document in scored if document.scores["toxicity"] >= 0.5]
    passed = [document for document in risky if document.scores["gate"] >= stated["threshold"]]
    assert outside["risky"] + outside["missed"] + stated["survey"]["risky"] == len(risky)
    assert stated["recall"]["low"] == stated["recall"]["reached"] == stated["recall"]["high"]
    assert stated["recall"]["reached"] == outside["risky"] / (outside["risky"] + outside["missed"])
    assert len(passed) / len(risky) >= 0.9
    assert cascaded.path.joinpath("manifest.json").exists() and 250 < stated["survey"]["documents"] < 350


def test_a_survey_of_the_whole_corpus_sees_everything(corpus: dict, curate: Curate) -> None:
    cascaded = curate(corpus, steps=[{**CASCADE, "survey": 10_000, "audit": 0.0}])
    stated = report(cascaded)
    assert stated["recall"] == {"asked": 0.9, "reached": 1.0, "low": 1.0, "high": 1.0, "confidence": 0.9}
    assert stated["seen by the costly scorer"] == 1.0 and stated["outside the survey"]["surveyed"] == 900
    assert stated["languages"] == ["en"] and stated["blind_spots"]


def test_a_survey_with_too_few_risky_documents_fails_the_run(corpus: dict, curate: Curate) -> None:
    with pytest.raises(RanksFailed, match="surveyed documents are risky, and a recall") as failed:
        curate(corpus, steps=[{**CASCADE, "recall": 0.99, "confidence": 0.95}])
    assert "0-cascade: gate" in str(failed.value)


def test_two_cascades_need_prefixes_and_an_unknown_attribute_is_named(tmp_path: Path, corpus: dict) -> None:
    source = {"it": {"sources": [corpus]}}
    for steps, why in (
        ([CASCADE, CASCADE], r'both give scores called "toxicity"'),
        ([{**CASCADE, "risky": ["toxicty"]}], r'no attribute "toxicty".*did you mean "toxicity"'),
    ):
        with pytest.raises(InputError, match=why):
            Curation(load(tmp_path, source, steps=steps), tmp_path / "work").check()


def test_weights_of_both_scorers_are_in_the_fingerprint(tmp_path: Path, corpus: dict) -> None:
    spec = load(tmp_path, {"it": {"sources": [corpus]}}, steps=[CASCADE])
    assert {"steps[0].gate", "steps[0].scorer"} <= CURATION.identity(spec).inputs.keys()


def test_draws_depend_on_seed_purpose_and_place_only() -> None:
    def first(*key: Any) -> list[float]:
        numbers = draws(*key)
        return [next(numbers) for _ in range(5000)]

    assert first(0, "survey", "it/00000") == first(0, "survey", "it/00000")
    others = [first(1, "survey", "it/00000"), first(0, "audit", "it/00000"), first(0, "survey", "it/00001")]
    assert all(other != first(0, "survey", "it/00000") for other in others)
    assert abs(sum(first(0, "survey", "a")) / 5000 - 0.5) < 0.02
