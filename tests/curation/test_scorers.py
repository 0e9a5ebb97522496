"""Scorers: found by name, numbers in [0, 1] or an error, and never a low score for a text that could not be scored."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from made_corpora import Curate, write_jsonl

from curation.scorers import SCORERS, Scorer, load_scorer, weights_of
from curation.scorers.detoxify import Detoxify, DetoxifySpec, _buckets
from curation.scorers.profanity import ProfanitySpec
from infra.errors import InputError, RanksFailed, UnavailableError


def test_scorers_are_found_by_the_name_of_their_file() -> None:
    assert {"detoxify", "profanity"} <= set(SCORERS.names())
    with pytest.raises(InputError, match=r'no scorer "detox".*did you mean "detoxify"'):
        SCORERS.get("detox")


def test_profanity_gives_the_package_its_own_probabilities() -> None:
    from profanity_check import predict_prob

    texts = ["A fine day.", "You stupid idiot!", "", "Der Hund schläft.", "damn it " * 300]
    scorer = load_scorer(ProfanitySpec())
    np.testing.assert_allclose(scorer.score(texts)[:, 0], predict_prob(texts), atol=1e-6)
    assert scorer.attributes == ("toxicity",)
    assert scorer.identity == f"profanity@{weights_of(ProfanitySpec())[:12]}"
    assert scorer.score([]).shape == (0, 1)


class Faulty(Scorer):
    """Fails on texts that hold the word bad, in the way it is told to."""

    attributes, identity = ("toxicity",), "faulty"

    def __init__(self, value: float | None) -> None:
        self.value = value

    @classmethod
    def load(cls, spec: object) -> Faulty:
        raise NotImplementedError

    @staticmethod
    def weights(spec: object) -> str:
        raise NotImplementedError

    def _raw_scores(self, texts: list[str]) -> np.ndarray:
        if self.value is None and any("bad" in text for text in texts):
            raise RuntimeError("out of order")
        return np.array([[self.value if "bad" in text else 0.1] for text in texts], dtype=float)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -0.01, 1.01])
def test_a_failing_scorer_stops_the_job_and_names_the_document(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch, value: float | None
) -> None:
    from curation.steps import score

    write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}, {"text": "bad"}, {"text": "fine"}])
    monkeypatch.setattr(score, "loaded_scorer", lambda spec: Faulty(value))
    with pytest.raises(RanksFailed, match=r"document 0/a.jsonl:2: scorer faulty (failed: RuntimeError|gave toxicity)"):
        curate({"path": "a.jsonl"})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> DetoxifySpec:
    """A tiny random BERT in detoxify's checkpoint format, with its configuration and tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    folder = tmp_path_factory.mktemp("detoxify")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    words += ["you", "idiot", "fine", "day"]
    (folder / "base").mkdir()
    (folder / "base" / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(folder / "base" / "vocab.txt"), model_max_length=512).save_pretrained(folder / "base")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=3,
                        intermediate_size=64, max_position_embeddings=64, initializer_range=0.5)  # fmt: skip
    config.save_pretrained(folder / "base")
    model = BertForSequenceClassification(config)
    state = {**model.state_dict(), "bert.embeddings.position_ids": torch.arange(64)[None]}  # as old checkpoints have it
    arch = {"model_type": "bert-base-uncased", "model_name": "BertForSequenceClassification",
            "tokenizer_name": "BertTokenizer", "num_classes": 3}  # fmt: skip
    classes = ["toxic", "severe_toxic", "insult"]
    torch.save({"config": {"dataset": {"args": {"classes": classes}}, "arch": {"args": arch}}, "state_dict": state},
               folder / "tiny.ckpt")  # fmt: skip
    return DetoxifySpec(checkpoint=str(folder / "tiny.ckpt"), config=str(folder / "base"), batch_tokens=64)


def test_detoxify_gives_the_model_its_own_sigmoids_under_public_names(checkpoint: DetoxifySpec) -> None:
    import torch

    scorer = load_scorer(checkpoint)
    assert isinstance(scorer, Detoxify)
    assert scorer.attributes == ("toxicity", "severe_toxicity", "insult")
    texts = ["you idiot", "a fine day", "", "you " * 30]
    encoded = scorer._tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(scorer._model(**encoded).logits).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(scorer.score(texts), expected, atol=1e-5)


def test_detoxify_reads_a_long_text_to_its_end(checkpoint: DetoxifySpec) -> None:
    scorer = load_scorer(checkpoint)
    start, end = "fine day " * 30, "you idiot " * 30
    both = scorer.score([start + end, start])
    assert (both[0] >= both[1] - 1e-6).all() and (both[0] > both[1] + 1e-4).any()


def test_detoxify_is_identified_by_its_weights_and_configuration(checkpoint: DetoxifySpec, tmp_path: Path) -> None:
    shutil.copytree(Path(checkpoint.config or ""), tmp_path / "base")
    moved = checkpoint.model_copy(update={"config": str(tmp_path / "base")})
    assert weights_of(moved) == weights_of(checkpoint)
    (tmp_path / "base" / "vocab.txt").write_text("other")
    assert weights_of(moved) != weights_of(checkpoint)


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path, checkpoint: DetoxifySpec) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was-run",))

    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"config": {}, "state_dict": Evil()}))
    with pytest.raises(InputError, match="not a detoxify checkpoint"):
        load_scorer(checkpoint.model_copy(update={"checkpoint": str(tmp_path / "evil.ckpt")}))
    assert not (tmp_path / "was-run").exists()


def test_a_released_model_that_cannot_be_had_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import curation.scorers.detoxify as module

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_RELEASES", "http://127.0.0.1:9/")
    with pytest.raises(UnavailableError, match=r"(?s)cannot be had.*checkpoint: FILE and config: FOLDER.*profanity"):
        load_scorer(DetoxifySpec(model="original"))


def test_buckets_keep_the_budget_and_lose_no_row() -> None:
    lengths = [5, 100, 7, 3, 64, 64, 1]
    buckets = list(_buckets(lengths, 64))
    assert sorted(row for rows in buckets for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= 64 for rows in buckets)
