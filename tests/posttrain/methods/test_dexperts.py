"""Experts beside the model: their logits are added as the formula says, and they are the ones of the fit.

Covers posttrain.methods.companions.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from infra.errors import InputError
from infra.stages.stage import run_stage
from posttrain.decoding.sampling import Sampling
from posttrain.methods.dexperts import Dexperts
from posttrain.methods.options import DexpertsArgs
from posttrain.model import CausalModel
from posttrain.recipe import RecipeEntry
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import Steered, bind, load_steered
from tests.helpers.brute_force import nats, tokens_of, written
from tests.helpers.causal_models import save_model

PROMPTS, DOCUMENTS = ["the garden", "you", "after lunch we walked"], ["thank you for the book", "shut up you fool"]
SAMPLING = Sampling(max_new_tokens=6, samples=2, seed=3)


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrower than the steered model, as experts may be."""
    return save_model(tmp_path_factory.mktemp("expert"), "llama", hidden_size=16)


@pytest.fixture(scope="module")
def anti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("anti"), "neox", num_hidden_layers=1)


def steered_by(model: CausalModel, strength: float, **locations: Path) -> Steered:
    args = DexpertsArgs(**{key: str(location) for key, location in locations.items()})
    return bind(model, Dexperts.fit(model, None, args, 0), strength)


@pytest.mark.parametrize(
    ("keys", "own", "added"),
    [(("expert", "anti_expert"), 1.0, [1.3, -1.3]), (("anti_expert",), 2.3, [-1.3]), (("expert",), -0.3, [1.3])],
)
def test_texts_and_cross_entropy_are_those_of_the_formula(
    model: CausalModel, expert: Path, anti: Path, keys: tuple[str, ...], own: float, added: list[float]
) -> None:
    locations = {"expert": expert, "anti_expert": anti}
    steered = steered_by(model, 1.3, **{key: locations[key] for key in keys})
    stack = steered.stack
    weights = [stream.weight for stream in stack.streams]
    assert (stack.own_weight, weights) == (pytest.approx(own), added)
    assert tokens_of(steered.generate(PROMPTS, SAMPLING)) == written(stack, PROMPTS, SAMPLING)
    expected = [nats(stack, document) for document in DOCUMENTS]
    assert steered.cross_entropy(DOCUMENTS).nats.tolist() == pytest.approx(expected, rel=1e-5)


def test_an_expert_that_is_the_model_itself_changes_nothing(model: CausalModel, model_folder: Path) -> None:
    steered = steered_by(model, 2.0, expert=model_folder, anti_expert=model_folder)
    plain = bind(model, None, 0).cross_entropy(DOCUMENTS).nats
    np.testing.assert_allclose(steered.cross_entropy(DOCUMENTS).nats, plain, rtol=1e-5)


def test_a_model_is_loaded_once_a_process(model: CausalModel, expert: Path) -> None:
    first, second = (steered_by(model, strength, expert=expert).stack.streams[0].model for strength in (1.0, 2.0))
    assert first is second


def test_experts_are_inputs_of_the_fit_and_may_not_change(model_folder: Path, anti: Path, tmp_path: Path) -> None:
    copy = tmp_path / "anti"
    shutil.copytree(anti, copy)
    method = {"name": "dexperts", "anti_expert": str(copy)}
    spec = PosttrainSpec(name="x", model=str(model_folder), method=method)
    artifact = run_stage(POSTTRAIN, spec, tmp_path / "steering", quiet=True)
    models = json.loads((artifact.path / "steering.json").read_text())["facts"]["models"]
    assert models == {"anti_expert": artifact.inputs["method.anti_expert"]}
    moved = PosttrainSpec(name="x", model=str(model_folder), method={**method, "anti_expert": str(anti)})
    assert POSTTRAIN.fingerprint(moved) == artifact.fingerprint
    save_model(copy, "neox", num_hidden_layers=1, intermediate_size=32)
    assert POSTTRAIN.fingerprint(spec) != artifact.fingerprint
    with pytest.raises(InputError, match="is not the model of the fit any more"):
        load_steered(model_folder, (RecipeEntry(steering=str(artifact.path)),), "cpu")


def test_another_vocabulary_is_refused(model: CausalModel, expert: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(expert, other)
    record = json.loads((other / "tokenizer.json").read_text())
    vocabulary = record["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="has another vocabulary"):
        steered_by(model, 1.0, expert=other)
    wider = save_model(tmp_path / "wider", "llama", vocab_size=448)
    with pytest.raises(InputError, match="gives 448 logits"):
        steered_by(model, 1.0, expert=wider)


def test_at_least_one_expert_is_needed() -> None:
    with pytest.raises(ValueError, match="give `expert`, `anti_expert` or both"):
        DexpertsArgs()
