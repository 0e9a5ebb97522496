"""A text that a scorer can tell nothing about has no score: it is never taken for a clean one.

Covers curation.scoring.unscored, curation.steps.base_unscored and curation.steps.score.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow.parquet import read_table

from curation.corpus.tagged import TaggedCorpus
from curation.filter.score_lines import prepare
from curation.scorers import load_scorer
from curation.scorers.options import ProfanitySpec
from curation.scoring.unscored import out_of_languages, why_unscored
from curation.steps.cascade import Cascade
from curation.steps.options import CascadeSpec
from curation.training.calibration.spec import CalibrationSpec
from curation.training.calibration.stage import CALIBRATION
from curation.training.distillation.spec import DistillationSpec
from curation.training.distillation.stage import DISTILLATION
from curation.training.tagger.spec import TaggerTrainingSpec
from curation.training.tagger.stage import TAGGER
from infra.errors import DataError, RanksFailed
from infra.stages.stage import run_stage
from tests.helpers.corpora import SCORE, Curate, write_jsonl

FOREIGN = ("你是个白痴", "ты тупой идиот", "तुम बेवकूफ हो", "eres un idiota de mierda y un hijo de puta",
           "Du bist ein dummes Arschloch, verpiss dich")  # fmt: skip
ENGLISH = ("you damn fool", "The fence near the river was painted red.", "f*ck you", "12 34", "", "gay")
UTF16 = "you damn fool".encode("utf-16-le").decode("latin-1")


@pytest.mark.parametrize("text", FOREIGN)
def test_a_text_of_words_that_the_scorer_never_saw_is_not_scored(text: str) -> None:
    assert why_unscored(text, load_scorer(ProfanitySpec())) == "words unknown to the scorer"


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_scored(text: str) -> None:
    assert why_unscored(text, load_scorer(ProfanitySpec())) == ""


def test_the_language_step_decides_where_it_is_sure() -> None:
    german = {"language": "de", "language_score": 0.99}
    assert out_of_languages(german, ("en",)) == "language de"
    assert not out_of_languages(german, ("en", "de")) and not out_of_languages(german, ())
    assert not out_of_languages({**german, "language_score": 0.3}, ("en",)) and not out_of_languages({}, ("en",))


def test_the_filter_says_null_and_why() -> None:
    lines = [json.dumps({"text": text}).encode() for text in (UTF16, FOREIGN[0], ENGLISH[0])]
    nuls, foreign, rude = map(json.loads, prepare("profanity", True, False, "words", None, 200).lines([lines]))
    assert nuls["scores"] == foreign["scores"] == {"toxicity": None}
    assert "NUL" in nuls["unscored"] and "unknown" in foreign["unscored"]
    assert rude["scores"]["toxicity"] > 0.9 and "unscored" not in rude


def test_a_curation_removes_what_its_scorer_cannot_read_and_says_why(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in (UTF16, *FOREIGN[:2], ENGLISH[0])])
    artifact = curate({"path": "a.jsonl"})
    assert [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()] == [ENGLISH[0]]
    reasons = [row["reason"] for row in read_table(artifact.path / "excluded").to_pylist()]
    assert sorted(reasons) == ["unscored: NUL characters: not text, or in another encoding",
                               *["unscored: words unknown to the scorer"] * 2]  # fmt: skip


def test_a_curation_counts_what_it_left_unscored(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in (UTF16, *FOREIGN[:2], ENGLISH[0])])
    artifact = curate({"path": "a.jsonl"}, steps=[SCORE | {"unscored": "leave"}])
    scores = [document.scores for document in TaggedCorpus.open(artifact.path, "it").documents()]
    assert scores[:3] == [{}, {}, {}] and scores[3]["toxicity"] > 0.9
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    assert manifest["steps"][0]["unscored"] == {
        "NUL characters: not text, or in another encoding": 1, "words unknown to the scorer": 2,
    }  # fmt: skip


def test_a_gate_lets_through_what_it_cannot_read() -> None:
    from datatrove.data import Document

    cascade = Cascade(CascadeSpec(gate=ProfanitySpec(), scorer=ProfanitySpec()))
    foreign, kind = (Document(text=text, id="0") for text in (FOREIGN[0], ENGLISH[1]))
    assert cascade.gate_scores([foreign, kind]).tolist()[0] == 1.0 > cascade.gate_scores([kind]).tolist()[0]


TAG = {"step": "tag", "tagger": {"name": "words", "scorer": {"name": "profanity"}}}


def test_a_cascade_removes_what_its_costly_scorer_cannot_read_whatever_its_gate_says(
    tmp_path: Path, curate: Curate
) -> None:
    texts = [*(f"{text} {n}" for n in range(60) for text in ("you damn fool", "A fine day")), UTF16, *FOREIGN]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    cascade = {"step": "cascade", "gate": {"name": "profanity"}, "scorer": {"name": "profanity"}, "survey": 1000}
    language = {"step": "language", "label_only": True}
    artifact = curate({"path": "a.jsonl"}, steps=[language, cascade])
    documents = list(TaggedCorpus.open(artifact.path, "it").documents())
    assert len(documents) == 120 and all("toxicity" in document.scores for document in documents)
    report = json.loads((artifact.path / "manifest.json").read_text())["steps"][1]
    assert sum(report["unscored"].values()) == 6 and report["survey"]["documents"] == 120
    left = curate({"path": "a.jsonl"}, steps=[language, cascade | {"unscored": "leave"}], name="left", out="left")
    scores = [document.scores for document in TaggedCorpus.open(left.path, "it").documents()]
    assert len(scores) == 126 and scores[120:] == [{}] * 6


def test_trainings_learn_nothing_from_what_their_teacher_cannot_read(tmp_path: Path) -> None:
    english = [{"text": f"{text} {n}", "s": (n % 10) / 10} for n in range(150) for text in ("you fool", "A fine day")]
    foreign = [{"text": f"{FOREIGN[1]} {'я' * n}", "s": 0.9} for n in range(1, 41)]
    write_jsonl(tmp_path / "a.jsonl", english + foreign)
    write_jsonl(tmp_path / "b.jsonl", foreign + english[:30])
    for stage, spec in trainings(str(tmp_path / "a.jsonl")):
        artifact = run_stage(stage, spec, tmp_path / stage.kind, quiet=True)
        assert any("words unknown to the scorer" in note and "left out" in note for note in artifact.notes), stage.kind
    for stage, spec in trainings(str(tmp_path / "b.jsonl")):
        with pytest.raises(DataError, match=r"at most a share of 0\.5 may be left out"):
            run_stage(stage, spec, tmp_path / f"{stage.kind}-b", quiet=True)


def trainings(path: str) -> list[tuple[Any, Any]]:
    scorer, source = {"name": "profanity"}, {"path": path}
    distillation = {"name": "d", "scorer": scorer, "sources": [source], "hash_bits": 12}
    calibration = {"name": "c", "scorer": scorer, "references": [{"source": source, "scores": {"toxicity": "s"}}]}
    teacher = {"sources": [source], "tagger": {"name": "words", "scorer": scorer}}
    tagger = {"name": "t", "learn_from": teacher, "model": {"name": "lexical", "hash_bits": 10, "iterations": 10}}
    return [
        (DISTILLATION, DistillationSpec.model_validate(distillation)),
        (CALIBRATION, CalibrationSpec.model_validate(calibration)),
        (TAGGER, TaggerTrainingSpec.model_validate(tagger)),
    ]


def test_a_tagger_says_nothing_of_what_its_scorer_cannot_read(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in (UTF16, *FOREIGN[:2], ENGLISH[0])])
    artifact = curate({"path": "a.jsonl"}, steps=[TAG])
    assert [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()] == [ENGLISH[0]]
    manifest = json.loads((artifact.path / "manifest.json").read_text())
    counts = {"NUL characters: not text, or in another encoding": 1, "words unknown to the scorer": 2}
    assert manifest["steps"][0]["unscored"] == counts and manifest["steps"][0]["languages"] == ["en"]
    assert manifest["corpora"]["it"]["removed"] == {"0-tag": {f"unscored: {why}": n for why, n in counts.items()}}


def test_spans_of_a_document_that_one_tagger_left_are_not_known_whatever_another_says(
    tmp_path: Path, curate: Curate
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in (FOREIGN[4], ENGLISH[0])])
    language = {"step": "language", "label_only": True}
    left = TAG | {"unscored": "leave"}
    other = {**TAG, "prefix": "b_", "unscored": "leave",
             "tagger": {"name": "sentences", "scorer": {"name": "profanity"}}}  # fmt: skip
    foreign, rude = TaggedCorpus.open(curate({"path": "a.jsonl"}, steps=[language, left, other]).path, "it").documents()
    assert foreign.spans is None and {span.attribute for span in rude.spans or ()} == {"toxicity", "b_toxicity"}
    with pytest.raises(RanksFailed, match="is not tagged, or its tagger left it unscored"):
        curate({"path": "a.jsonl"}, steps=[language, left, {"step": "where", "keep": "spans.count > 0"}], name="asked")


def test_a_step_of_another_version_is_another_step() -> None:
    from curation.steps import make_step
    from curation.steps.filters.filter_options import GopherQualitySpec
    from curation.steps.options import ScoreSpec

    assert make_step(GopherQualitySpec()).identity()["version"] == 2
    assert "version" not in make_step(ScoreSpec(scorer=ProfanitySpec())).identity()
