"""A document that spells the end-of-text does not end there, whatever the tokenizer is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from infra.artifacts.artifact import read_artifact
from infra.errors import DataError
from mixtures.handover.page import show_mixture
from mixtures.planning.forecast import foresee
from mixtures.reading.manifest import EosSpelled
from mixtures.tokenizing.encode import Encoder
from tests.helpers.tagged_corpora import SENTENCE, Doc, build, mixture_spec, write_curation

SPELLED = "Price <s>100</s> now, a</s>b and <|endoftext|> too."


def unigram() -> tuple[Tokenizer, str]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCE] * 3, trainer=trainer)
    return tokenizer, "</s>"


def not_special() -> tuple[Tokenizer, str]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([SENTENCE], trainer=trainer)
    tokenizer.add_tokens([AddedToken("<|endoftext|>", special=False, normalized=False), AddedToken("<think>")])
    return tokenizer, "<|endoftext|>"


def merged() -> tuple[Tokenizer, str]:
    """A BPE whose merges make its EOS."""
    vocabulary = {sign: number for number, sign in enumerate("</s>ab ")} | {"</": 7, "s>": 8, "</s>": 9, "ab": 10}
    merges = [("<", "/"), ("s", ">"), ("</", "s>"), ("a", "b")]
    return Tokenizer(models.BPE(vocab=vocabulary, merges=merges)), "</s>"


def words() -> tuple[Tokenizer, str]:
    tokenizer = Tokenizer(models.WordLevel({"</s>": 0, "[UNK]": 1, "now,": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer, "</s>"


@pytest.mark.parametrize("make", [unigram, not_special, merged, words])
def test_an_eos_spelled_in_a_text_is_broken_apart_and_counted(make, tmp_path: Path) -> None:
    tokenizer, eos = make()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    number = tokenizer.token_to_id(eos)
    texts = [SPELLED, f"ab {eos} ab", "the river", f"{eos}{eos}"]
    assert number in tokenizer.encode(texts[1], add_special_tokens=False).ids  # without the encoder it is an EOS
    (encoded,) = Encoder(tmp_path / "tokenizer.json", number).encode(texts, None)
    ends = encoded.lengths.cumsum() - 1
    assert (encoded.tokens == number).nonzero()[0].tolist() == ends.tolist()
    assert encoded.spelled is not None and encoded.spelled.tolist() == [text.count(eos) for text in texts]
    (plain,) = Encoder(tmp_path / "tokenizer.json", number).encode(["ab the river now, <think>"], None)
    assert plain.tokens[:-1].tolist() == tokenizer.encode("ab the river now, <think>", add_special_tokens=False).ids


def test_a_tokenizer_that_gives_its_eos_for_unknown_words_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<eos>": 0, "river": 1}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = Encoder(tmp_path / "tokenizer.json", 0)
    assert next(encoder.encode(["river river"], None)).tokens.tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="end-of-text '<eos>' for text inside a document"):
        list(encoder.encode(["river mill"], None))


def test_mixture_and_plan_say_how_many_documents_spell_it(tmp_path: Path) -> None:
    tokenizer, _ = unigram()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    documents = [Doc(f"d{number}", SPELLED if number < 3 else SENTENCE) for number in range(9)]
    curation = write_curation(tmp_path / "curated", {"html": documents})
    spec = mixture_spec(
        curation, tokenizer={"file": str(tmp_path / "tokenizer.json")}, hold_out={},
        components={"html": {"corpus": "html", "tokens": "all"}},
    )  # fmt: skip
    built = build(spec, tmp_path / "m")
    tokens, _ = built.component("html").open()
    assert int((tokens.tokens == built.facts.eos_id).sum()) == 9
    (folder,) = (tmp_path / "store").glob("tokens-html-*")
    counts = read_artifact(folder, "tokens").counts
    assert (counts["eos_spelled_documents"], counts["eos_spelled"]) == (3, 6)
    assert built.manifest.components[0].eos_spelled == EosSpelled(documents=3, times=6)
    (table,) = [table for table in show_mixture(read_artifact(tmp_path / "m")).tables if "spell </s>" in table.title]
    assert table.rows == (("html", 3, 6),)
    assert any("3 documents spell </s>" in note for note in foresee(spec, tmp_path / "store").notes)
