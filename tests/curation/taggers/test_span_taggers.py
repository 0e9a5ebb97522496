"""Taggers on top of scorers: sentences as SLUNG has them, and the words to which a transformer owes its score.

Covers curation.taggers.attribution, curation.taggers.base, curation.taggers.base_attribution, curation.taggers.options,
curation.taggers.sentences and curation.steps.tag.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.scorers import load_scorer
from curation.scorers.base_transformer import TransformerScorer
from curation.scorers.options import ProfanitySpec, TransformersSpec
from curation.taggers import TAGGERS, make_tagger, tagger_inputs
from curation.taggers.base_attribution import METHODS, gradient_x_input, integrated_gradients, occlusion, probabilities
from curation.taggers.options import AttributionSpec, SentencesSpec
from curation.text.sentences import sentence_spans
from curation.text.words import word_spans
from curation.token_models.windows import Window, windows_of
from infra.errors import ConfigError, InputError
from tests.helpers.classifiers import LABELS
from tests.helpers.corpora import load, write_jsonl

TEXTS = ["you idiot", "a fine day, you idiot", "fine"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three", ["One.", "Two!", "Three"]),
        ('He said "go." She went.', ['He said "go."', "She went."]),
        ("A line\n  another line \n\nthird", ["A line", "another line", "third"]),
        ("Version 3.11 is out... maybe", ["Version 3.11 is out...", "maybe"]),
        ("今日は。元気？はい", ["今日は。", "元気？", "はい"]),
        (" \n ", []),
    ],
)
def test_sentences_end_where_people_end_them(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


@given(st.text(max_size=200))
def test_sentences_are_apart_in_order_and_hold_every_visible_character(text: str) -> None:
    spans = sentence_spans(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    covered = {offset for start, end in spans for offset in range(start, end)}
    assert all(offset in covered for offset, letter in enumerate(text) if not letter.isspace())


def test_each_sentence_has_the_scorers_own_score() -> None:
    scorer = load_scorer(ProfanitySpec())
    text = "A fine day. You stupid idiot! A fine day."
    (every,) = make_tagger(SentencesSpec(scorer=ProfanitySpec(), keep_at_or_above=1e-9)).tag([text])
    assert [text[span.start : span.end] for span in every] == ["A fine day.", "You stupid idiot!", "A fine day."]
    expected = scorer.score([text[span.start : span.end] for span in every])[:, 0]
    np.testing.assert_allclose([span.score for span in every], expected, atol=1e-7)
    (risky,) = make_tagger(SentencesSpec(scorer=ProfanitySpec(), keep_at_or_above=0.5)).tag([text])
    assert risky == [every[1]]


@pytest.fixture(scope="module")
def classifier(classifier_folder: Path) -> TransformersSpec:
    return TransformersSpec(model="org/tiny", folder=str(classifier_folder), precision="float32")


@pytest.fixture(scope="module")
def scorer(classifier: TransformersSpec) -> TransformerScorer:
    loaded = load_scorer(classifier)
    assert isinstance(loaded, TransformerScorer)
    return loaded


def log_odds(scorer: TransformerScorer, vectors: object) -> float:
    import torch

    with torch.no_grad():
        probability = scorer.probabilities(scorer.model(inputs_embeds=vectors).logits)[0, 1].double()
    return float(torch.logit(probability))


def embedded(scorer: TransformerScorer, window: Window) -> object:
    import torch

    with torch.no_grad():
        return scorer.model.get_input_embeddings()(torch.tensor([window.ids]))


def test_gradient_x_input_is_the_slope_when_a_words_vectors_grow(scorer: TransformerScorer) -> None:
    _, (window,) = windows_of(scorer.tokenizer, ["a fine day, you idiot"], 64)
    ((words, values),) = gradient_x_input(scorer, [window], 1, 512, 0)
    vectors, step = embedded(scorer, window), 1e-2
    for word, contribution in zip(words, values, strict=True):
        odds = []
        for sign in (1, -1):
            grown = vectors.clone()
            grown[0, window.words == word] *= 1 + sign * step
            odds.append(log_odds(scorer, grown))
        assert contribution == pytest.approx((odds[0] - odds[1]) / (2 * step), rel=0.05, abs=5e-3)


def test_integrated_gradients_add_up_to_the_difference_that_the_words_make(scorer: TransformerScorer) -> None:
    _, windows = windows_of(scorer.tokenizer, TEXTS[:2], 64)
    for window, (_, values) in zip(windows, integrated_gradients(scorer, windows, 1, 512, 200), strict=True):
        vectors = embedded(scorer, window)
        blank = vectors.clone()
        blank[0, window.words >= 0] = scorer.model.get_input_embeddings().weight[scorer.tokenizer.pad_token_id].detach()
        assert values.sum() == pytest.approx(log_odds(scorer, vectors) - log_odds(scorer, blank), abs=0.02)


def test_occlusion_is_the_fall_of_the_log_odds_when_a_word_is_masked(scorer: TransformerScorer) -> None:
    _, (window,) = windows_of(scorer.tokenizer, ["you idiot"], 64)
    ((words, values),) = occlusion(scorer, [window], 1, 64, 0)
    masked = [tuple(scorer.tokenizer.mask_token_id if word == owner else piece
                    for piece, owner in zip(window.ids, window.words, strict=True)) for word in words]  # fmt: skip
    whole = log_odds(scorer, embedded(scorer, window))
    for ids, fall in zip(masked, values, strict=True):
        hidden = Window(0, ids, window.words, window.depth)
        assert fall == pytest.approx(whole - log_odds(scorer, embedded(scorer, hidden)), abs=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_most_telling_word_has_the_texts_own_score(
    classifier: TransformersSpec, scorer: TransformerScorer, method: str
) -> None:
    spec = AttributionSpec(scorer=classifier, method=method, attribute=LABELS[1], keep_at_or_above=1e-6)
    tagger = make_tagger(spec)
    assert tagger.attributes == (LABELS[1],)
    _, windows = windows_of(scorer.tokenizer, TEXTS, 64)
    own = probabilities(scorer, windows, 1, 512)
    for text, spans, score in zip(TEXTS, tagger.tag(TEXTS), own, strict=True):
        assert {(span.start, span.end) for span in spans} <= set(word_spans(text))
        assert max((span.score for span in spans), default=score) == pytest.approx(score, abs=1e-4)
        assert all(0 < span.score <= score + 1e-4 for span in spans)


def test_long_texts_are_attributed_window_by_window_to_their_end(classifier: TransformersSpec) -> None:
    text = "fine day you idiot " * 40
    (spans,) = make_tagger(AttributionSpec(scorer=classifier, keep_at_or_above=1e-6)).tag([text])
    assert spans == sorted(spans, key=lambda span: span.start) and spans[-1].end > len(text) - 40


def test_only_transformers_can_be_attributed_and_only_what_they_score(
    tmp_path: Path, classifier: TransformersSpec
) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}])
    tag = {"step": "tag", "tagger": {"name": "attribution", "scorer": {"name": "profanity"}}}
    with pytest.raises(ConfigError, match=r"needs a transformer scorer \(detoxify, transformers\); profanity is none"):
        load(tmp_path, {"it": {"sources": [{"path": "a.jsonl"}]}}, steps=[tag])
    with pytest.raises(InputError, match=r'no attribute "insul"; it has .*did you mean "insult"'):
        make_tagger(AttributionSpec(scorer=classifier, attribute="insul"))


def test_taggers_are_found_by_their_files_and_identified_by_their_scorers(classifier: TransformersSpec) -> None:
    assert {"attribution", "lexical", "sentences", "transformer", "words"} <= set(TAGGERS.names())
    fast = classifier.model_copy(update={"precision": "int8"})
    inputs = [tagger_inputs(AttributionSpec(scorer=scorer)) for scorer in (classifier, fast)]
    assert inputs[0] == inputs[1]  # gradients are taken in float32 either way
    assert tagger_inputs(SentencesSpec(scorer=ProfanitySpec())) != inputs[0]
