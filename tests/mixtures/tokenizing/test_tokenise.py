"""Text and spans to tokens and risk bytes.

Covers mixtures.tokenizing.byte_level, mixtures.tokenizing.corpus_tokens, mixtures.tokenizing.encode,
mixtures.tokenizing.marking, mixtures.tokenizing.shard_files and mixtures.tokenizing.token_table.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from mixtures.formats import risk
from mixtures.tokenizing import encode as tokenise
from mixtures.tokenizing.byte_level import nfc_keeps
from mixtures.tokenizing.encode import Encoded, Encoder
from mixtures.tokenizing.marking import NO_SPANS, Spans
from tests.helpers import SHARED
from tests.helpers.tagged_corpora import SENTENCE

EOS_ID = 0


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A small byte-level BPE with a normaliser, truncation and padding set, as some published tokenizers have them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([SENTENCE] * 3 + ["you idiot, you fool"] * 3, trainer=trainer)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    path = tmp_path_factory.mktemp("bpe") / "tokenizer.json"
    tokenizer.save(str(path))
    return Encoder(path, EOS_ID)


def spans(*items: tuple[int, int, int, float]) -> Spans:
    """Spans from (document, start, end, score)."""
    document, start, end, score = zip(*items, strict=True) if items else ((), (), (), ())
    whole = (np.asarray(column, dtype=np.int64) for column in (document, start, end))
    return Spans(*whole, risk.encode(np.asarray(score, dtype=np.float64)))


def encode(encoder: Encoder, texts: Sequence[str], tags: Spans | None) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens and risk bytes of each document."""
    ids, levels = [], []
    for piece in encoder.encode(texts, tags):
        ends = np.cumsum(piece.lengths)
        ids += [document.tolist() for document in np.split(piece.tokens, ends[:-1])]
        levels += [document.tolist() for document in np.split(piece.risk, ends[:-1])]
    return ids, levels


def marked(encoder: Encoder, text: str, *items: tuple[int, int, float]) -> str:
    """The text of the tokens whose risk is above the floor."""
    (ids,), (levels,) = encode(encoder, [text], spans(*((0, *item) for item in items)))
    return encoder.tokenizer.decode([i for i, level in zip(ids, levels, strict=True) if level > risk.LOWEST])


TEXTS = st.text(st.sampled_from("ab é😀漢\u0301\n<|>Zy "), max_size=30)


@st.composite
def tagged_texts(draw: st.DrawFn) -> tuple[list[str], list[tuple[int, int, int, float]]]:
    texts = draw(st.lists(TEXTS, min_size=1, max_size=5))
    items = []
    for number, text in enumerate(texts):
        for _ in range(draw(st.integers(0, 3)) if text else 0):
            start = draw(st.integers(0, len(text) - 1))
            end = draw(st.integers(start + 1, len(text)))
            items.append((number, start, end, draw(st.floats(0.01, 1))))
    return texts, items


@settings(max_examples=150, deadline=None)
@given(tagged_texts())
def test_tags_never_change_a_token_and_every_token_gets_its_highest_overlap(
    encoder: Encoder, case: tuple[list[str], list[tuple[int, int, int, float]]]
) -> None:
    texts, items = case
    ids, levels = encode(encoder, texts, spans(*items))
    plain = [encoder.tokenizer.encode(text, add_special_tokens=False) for text in texts]
    assert ids == encode(encoder, texts, None)[0] == [[*encoding.ids, EOS_ID] for encoding in plain]
    for number, encoding in enumerate(plain):
        for index, (start, end) in enumerate(encoding.offsets):
            over = [
                score for document, s, e, score in items if document == number and s < max(end, start + 1) and e > start
            ]
            expected = max([risk.LOWEST, *(int(risk.encode(score)) for score in over)])
            assert levels[number][index] >= expected
            if all(a[1] == b[0] for a, b in zip(encoding.offsets, encoding.offsets[1:], strict=False)):
                assert levels[number][index] == expected
        assert levels[number][-1] == risk.LOWEST


@pytest.mark.parametrize(
    ("text", "span", "expected"),
    [
        ("you idiot there", (4, 9), " idiot"),
        ("you idiot there", (0, 3), "you"),
        ("there you idiot", (6, 15), " you idiot"),
        ("you idiot", (0, 9), "you idiot"),
        ("a 😀😀 b", (2, 3), " 😀"),
        ("a 漢字 b", (3, 4), "字"),
        ("naïve café", (2, 3), "ï"),
    ],
)
def test_a_span_marks_the_tokens_it_overlaps(encoder: Encoder, text: str, span: tuple[int, int], expected: str) -> None:
    tokens = marked(encoder, text, (*span, 0.9))
    assert expected.strip() in tokens and len(tokens) <= len(expected) + 6


def test_every_byte_of_a_split_code_point_is_marked(encoder: Encoder) -> None:
    assert marked(encoder, "ok 😀 ok", (3, 4, 0.9)).strip() == "😀"


def test_the_space_before_a_span_of_its_own_token_stays_clean(encoder: Encoder) -> None:
    _, levels = encode(encoder, ["a  漢"], spans((0, 3, 4, 0.9)))
    assert levels[0][0] == risk.LOWEST and max(levels[0]) > risk.LOWEST


def test_overlapping_spans_give_the_highest_score(encoder: Encoder) -> None:
    _, levels = encode(encoder, ["you idiot you fool"], spans((0, 0, 18, 0.2), (0, 4, 9, 0.9), (0, 4, 9, 0.5)))
    assert set(levels[0][:-1]) == {int(risk.encode(0.2)), int(risk.encode(0.9))}


def test_untagged_documents_are_unscored_and_tagged_ones_at_the_floor(encoder: Encoder) -> None:
    assert set(encode(encoder, ["the river"], None)[1][0]) == {risk.UNSCORED}
    assert set(encode(encoder, ["the river"], NO_SPANS)[1][0]) == {risk.LOWEST}


def test_a_special_token_spelled_in_the_text_is_ordinary_text(encoder: Encoder) -> None:
    (ids,), _ = encode(encoder, ["one <|endoftext|> two"], None)
    assert ids.count(EOS_ID) == 1 and ids[-1] == EOS_ID


def test_truncation_and_padding_of_a_tokenizer_are_switched_off(encoder: Encoder) -> None:
    (long, short), _ = encode(encoder, [SENTENCE, "a"], None)
    assert len(long) > 16 and len(short) == 2


def test_an_empty_document_is_its_end_of_text(encoder: Encoder) -> None:
    assert encode(encoder, ["", "a"], NO_SPANS)[0][0] == [EOS_ID]


def test_pieces_do_not_change_what_is_encoded(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["you idiot " * n for n in (1, 40, 2, 7)]
    tags = spans(*((n, 4, 9, 0.9) for n in range(4)), (1, 104, 109, 0.6))
    whole = encode(encoder, texts, tags)
    monkeypatch.setattr(tokenise, "_BATCH_CHARACTERS", 25)
    assert encode(encoder, texts, tags) == whole


def test_a_long_document_is_encoded_in_segments_that_change_no_token(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{SENTENCE}\n\n  {SENTENCE}, you idiot: 12 345 — naïve 漢字 it's   you fool.{SENTENCE}" * 3
    start = text.index("you idiot")
    tags = spans((0, start, start + 9, 0.9), (0, 5, 60, 0.3), (0, len(text) - 4, len(text), 0.6))
    whole = encode(encoder, [text], tags)
    calls: list[int] = []
    original = Encoder._encode

    def counted(self: Encoder, texts: Sequence[str], tags: Spans | None) -> Encoded:
        calls.append(len(texts[0]))
        return original(self, texts, tags)

    monkeypatch.setattr(Encoder, "_encode", counted)
    monkeypatch.setattr(tokenise, "_BATCH_CHARACTERS", 50)
    assert encode(encoder, [text], tags) == whole
    assert len(calls) > 10 and max(calls) < 150


def test_a_tokenizer_that_is_not_byte_level_is_asked_for_offsets(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "[UNK]": 1, "you": 2, "idiot": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    encoder = Encoder(tmp_path / "tokenizer.json", EOS_ID)
    (ids,), (levels,) = encode(encoder, ["hey,  you idiot there"], spans((0, 10, 15, 0.9)))
    assert [token for token, level in zip(ids, levels, strict=True) if level > risk.LOWEST] == [3]


def test_nfc_keeps_every_character_that_is_said_to_be_kept() -> None:
    characters = [
        char for char in map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))) if nfc_keeps("é" + char)
    ]
    assert len(characters) > 30_000
    for text in (
        "".join(characters),
        "".join(reversed(characters)),
        "".join(random.Random(0).sample(characters, len(characters))),
    ):
        assert normalizers.NFC().normalize_str(text) == text
    assert not any(map(nfc_keeps, ("e\u0301", "\u212b", "か\u3099", "가\u11a8", "\u2000")))


@pytest.mark.parametrize(("added", "shortened"), [("é|tail", True), ("e\u0301|tail", False)])
def test_texts_that_nfc_keeps_and_others_get_the_tokens_of_the_whole_tokenizer(
    encoder: Encoder, tmp_path: Path, added: str, shortened: bool
) -> None:
    whole = Tokenizer.from_str(encoder.tokenizer.to_str())
    whole.add_tokens([AddedToken(added, normalized=True)])
    whole.save(str(tmp_path / "tokenizer.json"))
    texts = ["plain", "café naïve “漢字” 😀", "cafe\u0301 e\u0301|tail", "é|tail \u212b", "", "the <|endoftext|> river"]
    made = Encoder(tmp_path / "tokenizer.json", EOS_ID)
    assert (made._without_nfc is not None) == shortened
    whole.encode_special_tokens = True
    assert encode(made, texts, None)[0] == [[*whole.encode(text).ids, EOS_ID] for text in texts]


def test_real_tokenizer_agrees(tmp_path: Path) -> None:
    path = SHARED / "data/tokenizers/olmo-1b.tokenizer.json"
    if not path.exists():
        pytest.skip("the OLMo tokenizer (../shared/data) is not here")
    olmo = Encoder(path, 50279)
    assert marked(olmo, "Well, you complete idiot 😀, go away.", (6, 24, 0.9)) == " you complete idiot"


def test_a_span_that_begins_on_a_combining_mark_marks_the_token_that_holds_it(encoder: Encoder) -> None:
    text = "the cafe\u0301 by the mill"
    assert "é" in marked(encoder, text, (8, 9, 0.9))  # the mark alone
    assert "é" in marked(encoder, text, (8, 12, 0.9))
    assert "é" not in marked(encoder, text, (9, 10, 0.9))  # the blank behind it is not the letter's


def test_characters_that_a_normaliser_drops_belong_to_the_tokens_beside_them(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"cafe": 0, "mill": 1, "<eos>": 2, "[UNK]": 3}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Replace("\u200b", "")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    made = Encoder(tmp_path / "tokenizer.json", 2)
    text = "\u200bcafe\u0301\u0301 mill\u200b\u200b"
    risky = lambda first, last: [  # noqa: E731
        level > risk.LOWEST for level in encode(made, [text], spans((0, first, last, 0.9)))[1][0]
    ]
    assert risky(0, 1) == risky(6, 7) == risky(5, 6) == [True, False, False]
    assert risky(7, 8) == [False, False, False]  # a blank
    assert risky(12, 14) == risky(13, 14) == [False, True, False]
