"""Token models: scores that belong to the text alone, offsets that hold for any text, windows that lose no word.

Covers curation.token_models.base, curation.token_models.context, curation.token_models.features,
curation.token_models.labels, curation.token_models.lexical, curation.token_models.transformer,
curation.token_models.windows and curation.classify.quiet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.words import word_spans
from curation.token_models import context as context_module
from curation.token_models.context import NAMES, SIDE, InContext, context
from curation.token_models.features import Hashing
from curation.token_models.lexical import LexicalModel
from curation.token_models.transformer import TOLERANCE, TransformerModel
from curation.token_models.windows import windows_of
from infra.errors import InputError
from tests.helpers.taggers import save_encoder

ANY_TEXT = st.text(max_size=120)  # lone surrogates, NUL and right-to-left marks included
STRANGE = ["", " ", "😀 you idiot 😀", "שלום you idiot", "東京タワー。", "a\x00b idiot", "\ud800 idiot", "idiot " * 300]


def made_up() -> LexicalModel:
    random = np.random.default_rng(0)
    table = random.normal(size=1 << 12).astype(np.float32)
    return LexicalModel(Hashing(bits=12), table, -1.0, InContext(tuple(random.normal(size=len(NAMES)).tolist()), 0.3))


@pytest.fixture(scope="module")
def lexical() -> LexicalModel:
    """Random weights: every word has some score."""
    return made_up()


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> TransformerModel:
    """Random weights, windows of 16 pieces."""
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    folder = save_encoder(tmp_path_factory.mktemp("tiny") / "encoder")
    torch.manual_seed(0)
    network = AutoModelForTokenClassification.from_pretrained(folder, num_labels=1)
    return TransformerModel(
        network, AutoTokenizer.from_pretrained(folder), InContext((3.0,) + (0.1,) * 11, 0.5), 16, 64, made_up(), 0.3
    )


@settings(deadline=None)
@given(st.lists(ANY_TEXT, max_size=6))
def test_lexical_scores_are_those_of_the_text_alone_to_the_bit(texts: list[str]) -> None:
    model = made_up()
    together = model.score(texts)
    for text, scored in zip(texts, together, strict=True):
        (alone,) = model.score([text])
        assert scored.spans == alone.spans == word_spans(text)
        assert np.array_equal(scored.scores, alone.scores) and scored.scores.dtype == np.float32


def test_the_lexical_model_has_its_share_in_the_logits_of_the_transformer(
    transformer: TransformerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["you idiot", "", "a fine sunny day, and so on"]
    spans_by_text, mixed = transformer.logits(texts)
    lexical, lengths = made_up().logits(texts)
    monkeypatch.setattr(transformer, "lexical", None)
    _, plain = transformer.logits(texts)
    assert lengths == list(map(len, spans_by_text)) == list(map(len, mixed))
    np.testing.assert_allclose(np.concatenate(mixed), 0.7 * np.concatenate(plain) + 0.3 * lexical, atol=1e-5)
    assert not np.allclose(np.concatenate(mixed), np.concatenate(plain), atol=1e-3)


@pytest.mark.parametrize("name", ["lexical", "transformer"])
def test_every_word_of_strange_texts_has_a_finite_score(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    texts = STRANGE if name == "lexical" else [text for text in STRANGE if "\ud800" not in text]
    for text, scored in zip(texts, model.score(texts), strict=True):
        assert scored.spans == word_spans(text) and len(scored.scores) == len(scored.spans)
        assert np.isfinite(scored.scores).all() and (scored.scores >= 0).all() and (scored.scores <= 1).all()


@pytest.mark.parametrize("name", ["lexical", "transformer"])
def test_the_floor_leaves_out_words_and_changes_none(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    texts = ["The fence near the river was painted red.", "you idiot"]
    for every, some in zip(model.score(texts), model.score(texts, 0.5), strict=True):
        above = [(span, score) for span, score in zip(every.spans, every.scores, strict=True) if score >= 0.5]
        assert list(zip(some.spans, some.scores, strict=True)) == above


def test_a_forgotten_vocabulary_changes_nothing(lexical: LexicalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["The fence near the river.", "Another text with other words.", "The fence again."]
    expected = [words.scores for words in lexical.score(texts)]
    monkeypatch.setattr("curation.token_models.lexical._MAX_WORDS", 2)
    for text, scores in zip(texts, expected, strict=True):
        assert np.array_equal(lexical.score([text])[0].scores, scores)


def test_a_saved_lexical_model_is_the_same_model(lexical: LexicalModel, tmp_path: Path) -> None:
    lexical.save(tmp_path)
    loaded = LexicalModel.load(tmp_path, lexical.settings())
    assert np.array_equal(loaded.score(["you idiot there"])[0].scores, lexical.score(["you idiot there"])[0].scores)


def slow_context(logits: list[float]) -> list[list[float]]:
    """The columns of one text, word by word."""
    rows = []
    for row, own in enumerate(logits):
        others = [logits[other] for other in range(len(logits)) if other != row and abs(other - row) <= SIDE]
        around = max(others, default=-8.0)
        before = logits[row - 1] if row else -8.0
        after = logits[row + 1] if row + 1 < len(logits) else -8.0
        expected = sum(1 / (1 + np.exp(-other)) for other in others)
        lead = min(max(own - around, -4.0), 4.0)
        rows.append([own, max(own, -1.5), around, max(around, -1.0), lead, max(lead, -1.0), max(lead, 0.0),
                     np.log1p(expected), np.log(len(others) + 1), before, after, max(before, after)])  # fmt: skip
    return rows


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(-8 * 64, 16 * 64).map(lambda n: n / 64), max_size=100), min_size=1, max_size=4))
def test_context_is_what_its_columns_are_called(texts: list[list[float]]) -> None:
    columns = context(np.array([logit for text in texts for logit in text]), [len(text) for text in texts])
    expected = [row for text in texts for row in slow_context(text)]
    assert columns.shape == (len(expected), len(NAMES))
    if expected:
        np.testing.assert_allclose(columns, expected, atol=2e-4)  # probabilities are summed in whole millionths


def test_texts_far_apart_in_logits_do_not_see_each_other() -> None:
    assert context_module._APART > context_module._HIGHEST - 2 * context_module._LOWEST


def test_padding_moves_a_transformers_score_by_less_than_it_says(transformer: TransformerModel) -> None:
    texts = ["you idiot", "The fence near the river was painted red by my neighbour.", "fool"]
    for text, scored in zip(texts, transformer.score(texts), strict=True):
        np.testing.assert_allclose(scored.scores, transformer.score([text])[0].scores, atol=TOLERANCE)


def test_windows_hold_every_word_and_take_it_from_where_it_is_deepest(transformer: TransformerModel) -> None:
    text = " ".join(f"w{index}" for index in range(60))
    (spans,), windows = windows_of(transformer.tokenizer, [text], 16)
    assert len(windows) > 3 and max(len(window.ids) for window in windows) <= 16
    assert set(range(60)) <= {int(word) for window in windows for word in window.words}
    assert len(spans) == 60
    middle = windows[1]
    inner = middle.depth[middle.words >= 0]
    assert inner.max() == inner[len(inner) // 2] > inner[0] and windows[0].depth[0] > 0
    assert np.isfinite(transformer.logits([text])[1][0]).all()


def test_the_last_step_mends_logits_that_are_off_and_knows_that_a_text_has_one_worst_word() -> None:
    random = np.random.default_rng(0)
    lengths = [10] * 400
    truth = random.normal(size=(400, 10)) * 2
    worst = (truth == truth.max(axis=1, keepdims=True)).ravel().astype(np.float32)
    logits = truth.ravel() * 2 + 1  # far too sure, and blind to the others
    fitted = InContext.fit(logits, lengths, worst)
    scores = fitted.apply(logits, lengths)
    assert scores[worst == 1].min() > scores[worst == 0].mean() and scores.mean() == pytest.approx(0.1, abs=0.02)
    assert np.mean((scores - worst) ** 2) < 0.5 * np.mean((1 / (1 + np.exp(-logits)) - worst) ** 2)
    assert InContext.from_json(fitted.to_json()) == fitted
    with pytest.raises(InputError, match="only one kind"):
        InContext.fit(logits, lengths, np.zeros_like(worst))
