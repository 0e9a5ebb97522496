"""Transformer classifiers: their own probabilities, long texts read to the end, foreign files treated as foreign.

Covers curation.scorers.base_transformer, curation.scorers.detoxify, curation.scorers.transformers,
curation.classify.folders, curation.classify.padding and curation.classify.windows.
"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from curation.classify.windows import buckets, cut
from curation.scorers import load_scorer, weights_of
from curation.scorers.detoxify import Detoxify
from curation.scorers.options import DetoxifySpec, TransformersSpec
from curation.scorers.transformers import Transformers
from curation.scoring.resolve import deferred, resolved
from infra.errors import InputError, UnavailableError
from tests.helpers.classifiers import LABELS, save_classifier, save_decoder


@pytest.fixture(scope="session")
def checkpoint(detoxify_files: tuple[Path, Path]) -> DetoxifySpec:
    file, base = detoxify_files
    return DetoxifySpec(checkpoint=str(file), config=str(base), batch_tokens=64, precision="float32")


@pytest.fixture(scope="session")
def classifier(classifier_folder: Path) -> TransformersSpec:
    return TransformersSpec(model="org/tiny", folder=str(classifier_folder), batch_tokens=64, precision="float32")


def test_detoxify_gives_the_model_its_own_sigmoids_under_public_names(checkpoint: DetoxifySpec) -> None:
    import torch

    scorer = load_scorer(checkpoint)
    assert isinstance(scorer, Detoxify)
    assert scorer.attributes == ("toxicity", "severe_toxicity", "insult")
    texts = ["you idiot", "a fine day", "", "you " * 30]
    encoded = scorer.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(scorer.model(**encoded).logits).numpy()
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
    batches = list(buckets(lengths, 64))
    assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[row] for row in rows) <= 64 for rows in batches)


def test_windows_overlap_and_equal_ones_are_computed_once(classifier: TransformersSpec) -> None:
    tokenizer = load_scorer(classifier).tokenizer
    windows = cut(tokenizer, ["fine day " * 20, "you", "fine day " * 20], 16, 4)
    assert windows.of_text[0] == windows.of_text[2] and len(windows.of_text[0]) > 2
    pieces = [[token for token in windows.ids[number] if token > 4] for number in windows.of_text[0]]
    assert all(before[-4:] == after[:4] for before, after in pairwise(pieces))
    assert sum(len(piece) for piece in pieces) - 4 * (len(pieces) - 1) == 40
    assert all(len(ids) <= 16 for ids in windows.ids)


def test_a_classifier_gives_its_softmax_or_sigmoid_under_the_names_of_its_classes(classifier: TransformersSpec) -> None:
    import torch

    scorer = load_scorer(classifier)
    assert isinstance(scorer, Transformers) and scorer.attributes == LABELS
    texts = ["you idiot", "", "fine fine day"]
    with torch.no_grad():
        logits = scorer.model(**scorer.tokenizer(texts, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(scorer.score(texts), torch.softmax(logits, -1).numpy(), atol=1e-5)
    sigmoid = load_scorer(classifier.model_copy(update={"activation": "sigmoid"}))
    np.testing.assert_allclose(sigmoid.score(texts), torch.sigmoid(logits).numpy(), atol=1e-5)


def test_classes_can_be_added_up_under_an_attribute(classifier: TransformersSpec) -> None:
    texts = ["you idiot", "fine day"]
    joined = load_scorer(classifier.model_copy(update={"labels": {"risk": ("toxicity", "insult")}}))
    assert joined.attributes == ("risk",)
    np.testing.assert_allclose(joined.score(texts)[:, 0], load_scorer(classifier).score(texts)[:, 1:].sum(1), atol=1e-6)
    with pytest.raises(InputError, match=r'no class "toxcity"; it has clean, .*; did you mean "toxicity"'):
        load_scorer(classifier.model_copy(update={"labels": {"risk": "toxcity"}}))


def test_classes_without_a_meaning_must_be_given_one(tmp_path: Path) -> None:
    folder = save_classifier(tmp_path / "unnamed", id2label={0: "LABEL_0", 1: "LABEL_1"})
    spec = TransformersSpec(model="org/unnamed", folder=str(folder), precision="float32")
    with pytest.raises(InputError, match=r"labels: \{toxicity: LABEL_1\}"):
        load_scorer(spec)
    assert load_scorer(spec.model_copy(update={"labels": {"toxicity": "LABEL_1"}})).attributes == ("toxicity",)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_scores_do_not_depend_on_the_batch(classifier: TransformersSpec, device: str) -> None:
    texts = [f"{'you ' * (number % 7)}idiot {'fine day ' * (number % 11)}" for number in range(40)]
    scorer = load_scorer(classifier.model_copy(update={"device": device}))
    together = scorer.score(texts)
    np.testing.assert_allclose(together, np.concatenate([scorer.score([text]) for text in texts]), atol=1e-5)
    np.testing.assert_allclose(together[::-1], scorer.score(texts[::-1]), atol=1e-5)


def test_a_folder_that_is_no_classifier_is_refused(tmp_path: Path, classifier_folder: Path) -> None:
    from transformers import BertConfig, BertModel

    with pytest.raises(InputError, match=r"config.json, model.safetensors and the tokenizer"):
        load_scorer(TransformersSpec(model="x", folder=str(tmp_path / "absent")))
    encoder = tmp_path / "encoder"
    shutil.copytree(classifier_folder, encoder)
    BertModel(BertConfig.from_pretrained(classifier_folder)).save_pretrained(encoder)
    with pytest.raises(InputError, match=r"the weights lack .*: it is no sequence classifier"):
        load_scorer(TransformersSpec(model="x", folder=str(encoder)))


def test_a_checkpoint_of_another_base_model_is_refused(checkpoint: DetoxifySpec, tmp_path: Path) -> None:
    other = save_classifier(tmp_path / "other", type_vocab_size=7)
    with pytest.raises(InputError, match=r"the checkpoint does not fit .* is that its base model"):
        load_scorer(checkpoint.model_copy(update={"config": str(other)}))


def test_a_model_that_the_hub_does_not_give_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match=r"org/nowhere cannot be had .* folder of a local copy"):
        load_scorer(TransformersSpec(model="org/nowhere"))


@pytest.mark.parametrize(("of_model", "of_tokenizer"), [(1, None), (None, "<eos>"), (1, "<eos>"), (1, "[UNK]")])
def test_a_decoders_score_does_not_depend_on_its_neighbours(
    tmp_path: Path, of_model: int | None, of_tokenizer: str | None
) -> None:
    folder = save_decoder(tmp_path / "gpt", of_model, of_tokenizer)
    scorer = load_scorer(TransformersSpec(model="gpt", folder=str(folder), precision="float32", device="cpu"))
    together = scorer.score(["you idiot", "a fine day " * 8])
    np.testing.assert_allclose(together[:1], scorer.score(["you idiot"]), atol=1e-5)


def test_a_classifier_without_a_padding_token_is_refused(tmp_path: Path) -> None:
    folder = save_decoder(tmp_path / "gpt", None, None)
    with pytest.raises(InputError, match="neither the model nor its tokenizer names a padding token"):
        load_scorer(TransformersSpec(model="gpt", folder=str(folder), precision="float32", device="cpu"))


def test_a_model_of_the_hub_is_named_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, repository = "c" * 40, tmp_path / "hub" / "models--org--tiny"
    save_classifier(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    spec = TransformersSpec(model="org/tiny", device="cpu", precision="float32")
    assert resolved(spec).revision == deferred(spec).revision == commit
    pinned = resolved(spec)
    assert resolved(pinned) == pinned and deferred(pinned) is pinned
