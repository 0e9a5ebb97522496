"""Reward-augmented decoding by a classifier, by a fitted reward on another model, and on the steered model.

Covers posttrain.methods.reward_models.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infra.errors import InputError, UserError
from posttrain.activations import last_token
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.options import RadArgs, SasaArgs
from posttrain.methods.rad import Rad
from posttrain.methods.reward_models import RewardHead
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel
from posttrain.steered import bind, bind_all
from tests.helpers.brute_force import nats, tokens_of, written
from tests.helpers.causal_models import save_model, save_tokenizer
from tests.helpers.classifiers import save_classifier

PROMPTS, DOCUMENTS = ["the garden", "you", "after lunch we walked"], ["thank you for the book", "shut up you fool"]
SAMPLING = Sampling(max_new_tokens=6, samples=2, seed=3)


def save_reward(folder: Path, **changes: Any) -> Path:
    """A GPT-2 classifier with the steered model's tokenizer."""
    from transformers import GPT2Config, GPT2ForSequenceClassification

    torch.manual_seed(1)
    sizes = {"vocab_size": save_tokenizer(folder), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
    config = GPT2Config(
        **{
            **sizes,
            "num_labels": 1,
            "initializer_range": 0.5,
            "pad_token_id": 0,
            "bos_token_id": 0,
            "eos_token_id": 0,
            **changes,
        }
    )
    GPT2ForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def fits(model: CausalModel, labelled: Labelled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fitted]:
    folder = tmp_path_factory.mktemp("rewards")
    toxic = {"id2label": {0: "clean", 1: "toxic"}, "label2id": {"clean": 0, "toxic": 1}, "num_labels": 2}
    usual = {"max_candidates": 6, "cross_entropy_positions": 100}
    return {
        "itself": Rad.fit(model, labelled, RadArgs(**usual), 0),
        "backbone": Rad.fit(model, labelled, RadArgs(backbone=str(save_model(folder / "b", "llama")), **usual), 0),
        "classifier": Rad.fit(model, None, RadArgs(classifier=str(save_reward(folder / "c", **toxic)), **usual), 0),
    }


NAMES = ["itself", "backbone", "classifier"]


@pytest.mark.parametrize("name", NAMES)
def test_texts_and_cross_entropy_are_those_of_the_formula(
    model: CausalModel, fits: dict[str, Fitted], name: str
) -> None:
    steered = bind(model, fits[name], 8.0)
    assert (steered.stack.judge is None) == (name == "itself")
    assert tokens_of(steered.generate(PROMPTS, SAMPLING)) == written(steered.stack, PROMPTS, SAMPLING)
    expected = [nats(steered.stack, document) for document in DOCUMENTS]
    assert steered.cross_entropy(DOCUMENTS).nats.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_classifiers_reward_is_what_transformers_says_of_the_text(model: CausalModel, tmp_path: Path) -> None:
    from transformers import GPT2ForSequenceClassification

    folder = save_reward(
        tmp_path, num_labels=3, problem_type="multi_label_classification",
        id2label={0: "insult", 1: "Toxicity", 2: "threat"}, label2id={"insult": 0, "Toxicity": 1, "threat": 2},
    )  # fmt: skip
    (method,) = bind(model, Rad.fit(model, None, RadArgs(classifier=str(folder)), 0), 2.0).stack.methods
    assert method.judge is not None
    text = torch.tensor([[0, 7, 8, 9]])
    with torch.inference_mode():
        expected = 1 - GPT2ForSequenceClassification.from_pretrained(folder)(text).logits[0, 1].sigmoid()
        bonus = method.bonus(method.judge.hidden(text)[:, -1:], torch.ones(1, 1, dtype=torch.bool))
    assert float(bonus[0, 0]) == pytest.approx(2 * float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("form", "benign", "expected"), [("clamped", False, 0.75), ("clamped", True, 0.25), ("softmax", True, 0.5)]
)
def test_rewards_lie_between_0_and_1_and_are_1_for_benign(form: Any, benign: bool, expected: float) -> None:
    head = RewardHead(torch.ones(2, 1), torch.zeros(2), form, 1, benign)
    assert float(head.reward(torch.tensor([0.25]))) == expected
    assert (
        head.reward(torch.tensor([[-9.0], [9.0]])).clamp(0, 1).tolist()
        == head.reward(torch.tensor([[-9.0], [9.0]])).tolist()
    )


def test_a_fitted_reward_is_high_for_benign_texts(
    model: CausalModel, fits: dict[str, Fitted], labelled: Labelled
) -> None:
    (method,) = bind(model, fits["itself"], 1.0).stack.methods
    hidden = torch.from_numpy(last_token(model, labelled.texts).hidden)[None]
    rewards = method.bonus(hidden, torch.ones(1, len(labelled.texts), dtype=torch.bool))[0].numpy()
    assert rewards[~labelled.toxic].mean() > 0.8 and rewards[labelled.toxic].mean() < 0.2
    accuracy = fits["itself"].facts.figures["reward_accuracy"]
    assert 0.7 < accuracy <= 1


def test_it_can_be_stacked_with_sasa_where_both_read_the_model(
    model: CausalModel, fits: dict[str, Fitted], labelled: Labelled
) -> None:
    sasa = Sasa.fit(model, labelled, SasaArgs(max_candidates=6, cross_entropy_positions=100), 0)
    steered = bind_all(model, [(fits["itself"], 4.0), (sasa, 5.0)])
    assert tokens_of(steered.generate(PROMPTS, SAMPLING)) == written(steered.stack, PROMPTS, SAMPLING)
    with pytest.raises(InputError, match="unlike models"):
        bind_all(model, [(fits["classifier"], 4.0), (sasa, 5.0)])


def test_classifiers_that_cannot_judge_prefixes_are_refused(
    model: CausalModel, model_folder: Path, tmp_path: Path
) -> None:
    two = {"num_labels": 2, "id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    for folder, message in [
        (save_classifier(tmp_path / "bert"), "lacks a head `score`"),
        (model_folder, "cannot be loaded as a sequence classifier|lacks the weights score"),
        (save_reward(tmp_path / "two", **two), "say with `label` which of its labels is meant: a, b"),
    ]:
        with pytest.raises(InputError, match=message):
            Rad.fit(model, None, RadArgs(classifier=str(folder)), 0)
    with pytest.raises(ValueError, match="give one of them"):
        RadArgs(classifier="a", backbone="b")
    named = Rad.fit(model, None, RadArgs(classifier=str(tmp_path / "two"), label="B", label_means="benign"), 0)
    assert np.isfinite(bind(model, named, 3.0).cross_entropy(DOCUMENTS).nats).all()


def test_a_classifier_that_is_not_what_its_files_say_is_refused(model: CausalModel, tmp_path: Path) -> None:
    """A layer of another shape, a file that is cut off, weights that are quantised: one message, no traceback."""
    folders = [save_reward(tmp_path / name) for name in ("shape", "cut", "quantised")]
    changes = ({"n_inner": 48}, {}, {"quantization_config": {"quant_method": "gptq"}})
    for folder, change in zip(folders, changes, strict=True):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **change}))
    weights = folders[1] / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    for folder, message in zip(folders, ("by the configuration", "classifier|damaged", "quantised"), strict=True):
        with pytest.raises(UserError, match=message):
            Rad.fit(model, None, RadArgs(classifier=str(folder)), 0)


def test_labels_are_needed_only_where_a_reward_is_fitted() -> None:
    assert RadArgs().needs_labels and RadArgs(backbone="x").needs_labels
    assert not RadArgs(classifier="x").needs_labels
