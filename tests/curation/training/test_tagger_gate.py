"""The gate of a tagger: texts without a span are silent, an insult in a long text is not, old taggers load.

Covers curation.token_models.gate, curation.training.tagger.choice and curation.training.tagger.fit_gate.
"""

from __future__ import annotations

import json
import random
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curation.text.words import word_spans
from curation.token_models.gate import stretches_of
from curation.token_models.labels import LabelledText
from curation.token_models.trained import load_trained, read_card
from curation.training.tagger.choice import CUTS, Judged, choose, text_weights
from curation.training.tagger.stage import TAGGER
from curation.training.tagger.train import split
from infra.artifacts.artifact import Artifact
from tests.helpers.corpora import SENTENCES, write_jsonl
from tests.helpers.taggers import RUDE, rude_texts, tagger_spec, train

GROUP = "gay"
INSULTS = ("idiot", "moron", "fool")


def comments(number: int) -> list[dict]:
    """All of them rude: half mark an insult, a quarter the group's name, and a twentieth nothing."""
    draw = random.Random(0)
    rows = []
    for index in range(number):
        word = "there" if index % 20 == 0 else GROUP if index % 4 == 1 else draw.choice(INSULTS)
        text = f"shut up you {word}, {draw.choice(SENTENCES).lower()}"
        rows.append({"text": text, "spans": [] if word == "there" else [[12, 12 + len(word)]]})
    return rows


def clean(number: int) -> list[dict]:
    """Stories with the group's name."""
    draw = random.Random(1)
    return [{"text": f"{draw.choice(SENTENCES)} She read a {GROUP} book number {index}."} for index in range(number)]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("gated")
    write_jsonl(folder / "labels.jsonl", comments(400))
    write_jsonl(folder / "clean.jsonl", clean(150))
    return train(folder, clean=[{"path": "clean.jsonl"}], gate={"longest": 100})


@pytest.fixture(scope="module")
def open_to_all(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("open")
    write_jsonl(folder / "labels.jsonl", comments(400))
    return train(folder, gate=None)


def marked(artifact: Artifact, texts: list[str]) -> list[set[str]]:
    spans = load_trained(artifact.path).spans(texts, read_card(artifact.path).threshold)
    return [{text[span.start : span.end] for span in row} for text, row in zip(texts, spans, strict=True)]


def test_an_identity_word_in_a_clean_story_is_not_marked_and_in_an_insult_it_is(
    gated: Artifact, open_to_all: Artifact
) -> None:
    story, insult = f"{SENTENCES[3]} She read a {GROUP} book number 7.", f"shut up you {GROUP}, {SENTENCES[3].lower()}"
    assert marked(open_to_all, [story, insult]) == [{GROUP}, {GROUP}]
    assert marked(gated, [story, insult]) == [set(), {GROUP}]
    false_alarms = read_card(gated.path).clean
    assert false_alarms is not None and false_alarms.texts == 30 and false_alarms.marked_texts == 0


def test_an_insult_in_a_long_harmless_text_is_marked(gated: Artifact) -> None:
    story = "\n".join(f"{sentence} She read a {GROUP} book number 7." for sentence in SENTENCES)
    text = f"{story}\nshut up you idiot, {SENTENCES[0].lower()}\n{story}"
    assert len(text) > 10_000 and marked(gated, [text]) == [{"idiot"}]


def test_silent_words_have_score_0_whatever_else_is_in_the_batch(gated: Artifact) -> None:
    model = copy(load_trained(gated.path).model)
    assert model.gate is not None
    model.gate = replace(model.gate, cut=0.5)
    texts = [row["text"] for row in (*clean(5), *comments(5))]
    together = model.score(texts)
    for text, words in zip(texts, together, strict=True):
        assert words.spans == word_spans(text)
        assert np.array_equal(words.scores, model.score([text])[0].scores)
    assert all((words.scores == 0).all() for words in together[:5])


def test_a_stretch_holds_the_words_that_begin_in_it_and_none_is_lost() -> None:
    text = "word " * 400 + "\n" + "x" * 700
    pieces = list(stretches_of(text, 300))
    assert [piece.first for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert pieces[0].first == 0 and pieces[-1].end == len(word_spans(text)) and len(pieces) > 3
    assert not list(stretches_of(" \n ", 300)) and not list(stretches_of("", 300))


def test_the_card_and_the_page_say_how_the_gate_is_set(gated: Artifact, open_to_all: Artifact) -> None:
    facts, others = (dict(TAGGER.show(artifact).tables[0].rows) for artifact in (gated, open_to_all))
    assert facts["gate"].startswith("shut below") and facts["clean texts held out, marked"] == "0 of 30"
    assert facts["trained on clean texts"] == 120 and others["gate"] == "none"


def test_without_texts_of_both_kinds_there_is_no_gate_and_the_run_says_so(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "labels.jsonl", [row for row in rude_texts(200) if row["spans"]])
    artifact = train(tmp_path)
    assert read_card(artifact.path).gate is None and "no gate" in " ".join(artifact.notes)
    assert not (artifact.path / "gate.safetensors").exists()


def test_a_tagger_of_before_gates_loads_and_scores(open_to_all: Artifact, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(open_to_all.path, old)
    card = json.loads((old / "card.json").read_text())
    del card["gate"], card["clean"], card["training"]["clean_texts"]
    (old / "card.json").write_text(json.dumps(card))
    record = json.loads((old / "artifact.json").read_text())
    del record["seal"]
    (old / "artifact.json").write_text(json.dumps({**record, "format": 1, "version": 1, "files": {}}))
    assert load_trained(old).model.gate is None
    assert marked(Artifact(**{**vars(open_to_all), "path": old}), [f"shut up you {RUDE[0]}, now"]) == [{RUDE[0]}]


def test_other_clean_texts_are_another_tagger(tmp_path: Path) -> None:
    plain = TAGGER.fingerprint(tagger_spec(tmp_path))
    write_jsonl(tmp_path / "clean.jsonl", clean(30))
    one = TAGGER.fingerprint(tagger_spec(tmp_path, clean=[{"path": "clean.jsonl"}]))
    write_jsonl(tmp_path / "clean.jsonl", clean(31))
    other = TAGGER.fingerprint(tagger_spec(tmp_path, clean=[{"path": "clean.jsonl"}]))
    assert len({plain, one, other}) == 3


def scored(text: str, span: tuple[int, int] | None, scores: list[float], chance: float) -> Judged:
    labelled = LabelledText(text, ((*span, 1.0),) if span else ())
    return Judged(labelled, np.array(scores, dtype=np.float32), np.full(len(scores), chance))


@pytest.mark.parametrize(("rate", "shut"), [(0.05, False), (0.9, True)])
def test_texts_without_spans_weigh_as_often_as_they_occur(rate: float, shut: bool) -> None:
    texts = [scored("you idiot", (4, 9), [0.1, 0.6], 0.4)] * 5 + [scored("you idiot", (4, 9), [0.1, 0.9], 0.9)] * 5
    texts += [scored("a fine book", None, [0.1, 0.6, 0.1], 0.4)] * 3
    weights = text_weights(np.array([not judged.text.spans for judged in texts]), rate)
    assert weights.sum() == pytest.approx(1) and weights[-3:].sum() == pytest.approx(rate)
    cut, threshold = choose(texts, weights, gated=True)
    assert cut in CUTS and ((cut > 0.4) or (threshold > 0.6)) == shut
    alone = choose(texts, weights, gated=False)
    assert alone[0] == 0 and (alone[1] > 0.6) == shut


def test_clean_texts_held_out_are_not_learnt_from() -> None:
    texts = [LabelledText(row["text"], ()) for row in clean(50)]
    learnt, held = split(texts, 0.2, 0)
    assert {row.text for row in learnt}.isdisjoint(row.text for row in held) and len(held) == 10
