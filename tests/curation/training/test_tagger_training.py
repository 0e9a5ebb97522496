"""`kind: tagger`: labels as people write them, a fair split, models that learn and a card that says how well.

Covers curation.taggers.base_trained, curation.taggers.lexical, curation.taggers.transformer,
curation.token_models.logistic, curation.token_models.trained, curation.training.intervals,
curation.training.tagger.encoder, curation.training.tagger.examples, curation.training.tagger.fit_lexical,
curation.training.tagger.fit_transformer, curation.training.tagger.page, curation.training.tagger.quality,
curation.training.tagger.spec, curation.training.tagger.stage and curation.training.tagger.train.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.corpus.records import Span
from curation.taggers import make_tagger
from curation.taggers.options import LexicalTaggerSpec, TransformerTaggerSpec
from curation.text.spans import joined
from curation.token_models.labels import LabelledText, word_targets
from curation.token_models.trained import load_trained, read_card
from curation.training.intervals import estimate
from curation.training.tagger.examples import read_examples
from curation.training.tagger.quality import best_threshold, character_f1, f1_of, reliability
from curation.training.tagger.spec import EncoderSpec
from curation.training.tagger.stage import TAGGER
from curation.training.tagger.train import split
from infra.artifacts.artifact import Artifact, sealed
from infra.errors import AmountError, ConfigError, DataError, InputError
from tests.helpers.corpora import SENTENCES, write_jsonl
from tests.helpers.taggers import LEXICAL, RUDE, rude_texts, save_encoder, tagger_spec, train

TRANSFORMER = {"name": "transformer", "encoder": "encoder", "epochs": 6, "learning_rate": 0.005, "window": 32,
               "batch_tokens": 256, "freeze_embeddings": False}  # fmt: skip


@pytest.fixture(scope="module")
def lexical(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A lexical tagger of rude words, with a test set of its own."""
    folder = tmp_path_factory.mktemp("lexical")
    write_jsonl(folder / "more.jsonl", rude_texts(60, seed=1))
    return train(folder, tests={"more": {"path": "more.jsonl"}})


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A transformer tagger of the same words, from a tiny encoder."""
    folder = tmp_path_factory.mktemp("transformer")
    save_encoder(folder / "encoder")
    return train(folder, model=TRANSFORMER)


def examples(folder: Path, *rows: dict) -> list[LabelledText]:
    write_jsonl(folder / "labels.jsonl", list(rows))
    return list(read_examples(tagger_spec(folder).learn_from, "toxicity"))


def test_offsets_and_ranges_are_the_same_labels_and_count_code_points(tmp_path: Path) -> None:
    text = "😀 you idiot"
    forms = [[6, 7, 8, 9, 10], [10, 9, 8, 7, 6], [[6, 11]], [[6, 9], [9, 11]]]
    labelled = examples(tmp_path, *({"text": text, "spans": form} for form in forms))
    for example in labelled:
        spans, targets = word_targets(example)
        assert [text[start:end] for start, end in spans] == ["you", "idiot"] and targets.tolist() == [0.0, 1.0]
    (soft,) = examples(tmp_path, {"text": text, "spans": [[2, 5, 0.25], [6, 11, 1]]})
    assert word_targets(soft)[1].tolist() == [0.25, 1.0] and soft.gold() == set(range(6, 11))


@pytest.mark.parametrize(
    ("spans", "reason"),
    [([99], "offsets lie between 0 and 4"), ([[3, 3]], "start before the end"), ([[0, 2, 1.5]], "between 0 and 1"),
     ([[0]], "is no span"), (["a"], "is no span"), ([-1], "offsets lie"), ("0-3", "a list of offsets"),
     ([[0.5, 2]], "is no span")],
)  # fmt: skip
def test_malformed_spans_are_named_with_file_and_line(tmp_path: Path, spans: object, reason: str) -> None:
    with pytest.raises(DataError, match=rf"labels\.jsonl:2: .*{reason}"):
        examples(tmp_path, {"text": "fine", "spans": []}, {"text": "fine", "spans": spans})


def test_a_text_without_spans_is_an_error_and_not_a_harmless_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'labels\.jsonl:1: "spans" is null; a list'):
        examples(tmp_path, {"text": "you idiot"})


def test_the_split_follows_the_seed_and_keeps_equal_texts_on_one_side() -> None:
    texts = [LabelledText(f"text {index % 40}", (), str(index)) for index in range(80)]
    learnt, held = split(texts, 0.25, seed=3)
    assert {learnt_text.text for learnt_text in learnt}.isdisjoint(learnt_text.text for learnt_text in held)
    assert len({text.text for text in held}) == 10 and len(learnt) + len(held) == 80
    assert split(texts, 0.25, seed=3) == (learnt, held) and split(texts, 0.25, seed=4) != (learnt, held)
    with pytest.raises(AmountError, match="too few"):
        split(texts[:10], 0.25, seed=0)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_character_f1_is_that_of_the_task(marked: set[int], gold: set[int]) -> None:
    value = character_f1(marked, gold)
    assert value == character_f1(gold, marked) and (value == 1) == (marked == gold)
    if marked and gold:
        precision, recall = len(marked & gold) / len(marked), len(marked & gold) / len(gold)
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert value == pytest.approx(expected)
    elif marked or gold:
        assert value == 0


def test_words_at_the_threshold_are_joined_where_no_word_stands_between() -> None:
    text = "you damn, silly fool here"
    words = [Span(0, 3, "toxicity", 0.1), Span(4, 8, "toxicity", 0.7), Span(10, 15, "toxicity", 0.6),
             Span(10, 15, "insult", 0.9), Span(16, 20, "toxicity", 0.9)]  # fmt: skip
    assert joined(text, words, 0.5) == [Span(4, 20, "toxicity", 0.9), Span(10, 15, "insult", 0.9)]
    assert joined(text, words, 0.65) == [words[1], words[3], words[4]]
    assert joined(text, words, 0.95) == []


def test_the_best_threshold_lies_in_the_middle_of_the_best_ones_and_the_interval_around_the_mean() -> None:
    texts = [LabelledText("you idiot", ((4, 9, 1.0),)), LabelledText("you there", ())] * 10
    spans = [[Span(0, 3, "toxicity", 0.2), Span(4, 9, "toxicity", score)] for score in (0.8, 0.4)] * 10
    threshold = best_threshold(texts, spans)
    assert threshold == pytest.approx(0.6, abs=0.03) and f1_of(texts, spans, threshold).mean() == 1
    values = f1_of(texts, spans, 0.3)
    interval = estimate(values)
    assert interval.value == values.mean() == 0.5 and 0.2 < interval.low < 0.5 < interval.high < 0.8


def test_reliability_is_zero_for_honest_scores_and_tells_how_far_others_are_off() -> None:
    honest = np.repeat(np.array([0.25, 0.75], dtype=np.float32), 400)
    happened = np.concatenate([np.repeat([1, 0], [100, 300]), np.repeat([1, 0], [300, 100])]).astype(np.float32)
    assert reliability(honest, happened)["ece"] == pytest.approx(0, abs=1e-6)
    assert reliability(np.full(800, 0.9, np.float32), happened)["ece"] == pytest.approx(0.4, abs=1e-6)


def rude_share(artifact: Artifact, texts: list[str], spec: type) -> list[set[str]]:
    tagger = make_tagger(spec(path=str(artifact.path), keep_at_or_above=read_card(artifact.path).threshold))
    return [{text[span.start : span.end] for span in spans}
            for text, spans in zip(texts, tagger.tag(texts), strict=True)]  # fmt: skip


def test_the_lexical_tagger_learns_the_words_their_spellings_and_nothing_else(lexical: Artifact) -> None:
    texts = [SENTENCES[0], f"And you, {RUDE[0]}, know it.", "And you, 1diot, know it.", "And you, IDIOOOOT, know it."]
    assert rude_share(lexical, texts, LexicalTaggerSpec) == [set(), {"idiot"}, {"1diot"}, {"IDIOOOOT"}]


def test_the_transformer_tagger_learns_the_words(transformer: Artifact) -> None:
    texts = [SENTENCES[0], *(f"{SENTENCES[1]} And you, {word}, know it." for word in RUDE)]
    assert rude_share(transformer, texts, TransformerTaggerSpec) == [set(), *({word} for word in RUDE)]


@pytest.mark.parametrize("kind", ["lexical", "transformer"])
def test_the_card_states_quality_threshold_and_calibration_and_the_page_shows_them(
    kind: str, request: pytest.FixtureRequest
) -> None:
    artifact = request.getfixturevalue(kind)
    card = read_card(artifact.path)
    for quality in (card.validation, *card.tests.values()):
        value, low, high = quality.f1
        assert 0.9 < low <= value <= high <= 1 and quality.calibration.ece < 0.1
        assert sum(tenth.words for tenth in quality.calibration.bins) == quality.words
    assert 0 < card.threshold < 1 and artifact.counts["tokens_per_second"] > 0
    page = TAGGER.show(artifact)
    assert "Blind" not in page.title and "blind spots" in str(page.tables[0].rows)
    assert "Quality" in page.html and f"{card.validation.texts:,}" in page.html


def test_training_twice_gives_the_same_bytes_and_other_labels_another_fingerprint(tmp_path: Path) -> None:
    first, second = train(tmp_path, "one"), train(tmp_path, "two")
    assert first.fingerprint == second.fingerprint
    for name in ("card.json", "lexical.safetensors"):
        assert (first.path / name).read_bytes() == (second.path / name).read_bytes()
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "labels.jsonl", tmp_path / "moved")
    assert TAGGER.fingerprint(tagger_spec(tmp_path / "moved")) == first.fingerprint
    write_jsonl(tmp_path / "labels.jsonl", rude_texts(150, seed=9))
    assert TAGGER.fingerprint(tagger_spec(tmp_path)) != first.fingerprint


def test_a_tagger_distilled_from_another_marks_the_same_words(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "plain.jsonl", [{"text": row["text"]} for row in rude_texts(150)])
    teacher = {"name": "words", "scorer": {"name": "profanity"}}
    sources = [{"path": "plain.jsonl"}]
    artifact = train(tmp_path, learn_from={"sources": sources, "tagger": teacher, "limit": 140})
    assert read_card(artifact.path).training.texts + read_card(artifact.path).validation.texts == 140
    shares = rude_share(artifact, [f"And you, {word}, know it." for word in ("idiot", "moron")], LexicalTaggerSpec)
    assert shares == [{"idiot"}, {"moron"}]
    other = {"sources": sources, "tagger": teacher}
    with pytest.raises(InputError, match='no attribute "insult"; it has toxicity'):
        train(tmp_path, "other", learn_from=other, attribute="insult")


def test_a_killed_training_goes_on_after_its_last_whole_epoch_to_the_same_weights(tmp_path: Path) -> None:
    from curation.training.tagger.fit_transformer import fit_transformer

    spec = EncoderSpec(**{**TRANSFORMER, "encoder": str(save_encoder(tmp_path / "encoder")), "epochs": 2})
    texts = [LabelledText(row["text"], tuple((*span, 1.0) for span in row["spans"])) for row in rude_texts(40)]
    checkpoint, seen, counted = tmp_path / "state", [], []

    def stop(done: int) -> None:
        seen.append(done)
        if sum(seen) > sum(counted) / 2:  # in the second epoch
            raise KeyboardInterrupt

    whole = fit_transformer(texts, spec, Path(spec.encoder), 0, tmp_path / "other", counted.append)
    with pytest.raises(KeyboardInterrupt):
        fit_transformer(texts, spec, Path(spec.encoder), 0, checkpoint, stop)
    assert checkpoint.is_file()
    resumed = fit_transformer(texts, spec, Path(spec.encoder), 0, checkpoint, lambda done: None)
    assert not checkpoint.exists()
    for name, weight in whole.encoder.state_dict().items():
        assert weight.equal(resumed.encoder.state_dict()[name]), name


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "labels.jsonl", [{"text": f"{sentence} {n}", "spans": []} for n, sentence in enumerate(SENTENCES)]
    )
    with pytest.raises(InputError, match="only one kind"):
        train(tmp_path)
    with pytest.raises(ConfigError, match=r"ngrams: .*shortest"):
        tagger_spec(tmp_path, model={**LEXICAL, "ngrams": [5, 3]})
    with pytest.raises(InputError, match=r"config\.json, weights and a tokenizer"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "file").touch()
        train(tmp_path, model={"name": "transformer", "encoder": "empty"})


def test_a_window_beyond_the_encoders_positions_is_refused(tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "encoder")
    with pytest.raises(InputError, match=r"reads 64 pieces at most, and model\.window is 100"):
        train(tmp_path, model={"name": "transformer", "encoder": str(encoder), "window": 100, "epochs": 1})


def test_a_tagger_of_one_size_is_not_taken_for_the_other(lexical: Artifact) -> None:
    with pytest.raises(InputError, match=r"is a lexical tagger; write tagger: \{name: lexical"):
        make_tagger(TransformerTaggerSpec(path=str(lexical.path)))


def test_a_loaded_tagger_is_shared_until_its_content_changes(lexical: Artifact, tmp_path: Path) -> None:
    assert load_trained(lexical.path) is load_trained(str(lexical.path))
    copy = tmp_path / "copy"
    shutil.copytree(lexical.path, copy)
    first = load_trained(copy)
    record = json.loads((copy / "artifact.json").read_text())
    (copy / "artifact.json").write_text(json.dumps(sealed({**record, "fingerprint": "0" * 64})))
    assert load_trained(copy) is not first
