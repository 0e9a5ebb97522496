"""What holds for every steering method: none at strength 0, the same in any batch and process, right under SASA."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted, save_fitted
from posttrain.labelled import Labelled
from posttrain.methods import METHODS
from posttrain.methods.options import SasaArgs
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, load_model
from posttrain.spec import method_spec
from posttrain.steered import bind, bind_all
from tests.helpers import zoo
from tests.helpers.brute_force import nats, tokens_of, written
from tests.helpers.causal_models import save_model
from tests.helpers.steering_methods import needed_options

PROMPTS = ["the garden", "you", "after lunch we walked to the river with friends", "shut up"]
DOCUMENTS = ["thank you for the book", "shut up you fool today and go"]
SAMPLING = Sampling(max_new_tokens=8, samples=2, seed=5)
STEERING = [name for name in METHODS.names() if name != "none"]
SPELLED_OUT = ["conditioned", "dexperts", "iti", "prompt", "rad", "word_filter"]
"""Those that the brute force knows."""
ON_OR_OFF = {"prompt"}
ELSEWHERE = """
import json, sys
from posttrain.decoding.sampling import Sampling
from posttrain.recipe import RecipeEntry
from posttrain.steered import load_steered
model, folder, prompts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
told = {}
for name in sys.argv[4:]:
    steered = load_steered(model, (RecipeEntry(steering=f"{folder}/{name}", strength=3.0),), "cpu")
    rows = steered.generate(prompts, Sampling(max_new_tokens=8, samples=2, seed=5))
    told[name] = [[list(sample.tokens) for sample in row] for row in rows]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def fits(model: CausalModel, labelled: Labelled, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Fitted]:
    other = save_model(tmp_path_factory.mktemp("other"), "llama")
    specs = {name: method_spec(name, needed_options(name, other)) for name in METHODS.names()}
    return {name: METHODS.get(name).fit(model, labelled, args, 0) for name, args in specs.items()}


@pytest.mark.parametrize("name", METHODS.names())
def test_no_strength_is_the_plain_model(model: CausalModel, fits: dict[str, Fitted], name: str) -> None:
    """So little that no draw changes goes the whole way through the method, which 0 does not."""
    plain = bind(model, None, 0)
    for strength in (0.0,) if name in ON_OR_OFF else (0.0, 1e-9):
        steered = bind(model, fits[name], strength)
        assert steered.generate(PROMPTS, SAMPLING) == plain.generate(PROMPTS, SAMPLING)
        np.testing.assert_allclose(
            steered.cross_entropy(DOCUMENTS).nats, plain.cross_entropy(DOCUMENTS).nats, rtol=1e-5
        )


@pytest.mark.parametrize("name", STEERING)
def test_strength_changes_texts_and_cross_entropy(model: CausalModel, fits: dict[str, Fitted], name: str) -> None:
    plain, steered = bind(model, None, 0), bind(model, fits[name], 200.0)
    texts = plain.generate(PROMPTS, SAMPLING)
    assert steered.generate(PROMPTS, SAMPLING) != texts
    probable = [sample.text for row in texts for sample in row]  # what is no candidate keeps its probability
    difference = steered.cross_entropy(probable).nats - plain.cross_entropy(probable).nats
    assert (np.abs(difference) > 1e-3).any()


@pytest.mark.parametrize("name", STEERING)
def test_a_batch_of_unlike_lengths_gives_what_single_prompts_give(
    model: CausalModel, fits: dict[str, Fitted], name: str
) -> None:
    steered = bind(model, fits[name], 3.0)
    together = steered.generate(PROMPTS, SAMPLING)
    assert [steered.generate([prompt], SAMPLING, indices=[i])[0] for i, prompt in enumerate(PROMPTS)] == together
    nats_together = steered.cross_entropy(DOCUMENTS).nats
    single = [float(steered.cross_entropy([document]).nats[0]) for document in DOCUMENTS]
    np.testing.assert_allclose(single, nats_together, rtol=1e-5)


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_under_sasa_it_is_what_brute_force_gives(
    model: CausalModel, labelled: Labelled, fits: dict[str, Fitted], name: str
) -> None:
    sasa = Sasa.fit(model, labelled, SasaArgs(max_candidates=20, cross_entropy_positions=100), 0)
    steered = bind_all(model, [(fits[name], 1.5), (sasa, 6.0)])
    assert tokens_of(steered.generate(PROMPTS, SAMPLING)) == written(steered.stack, PROMPTS, SAMPLING)
    expected = [nats(steered.stack, document) for document in DOCUMENTS]
    assert steered.cross_entropy(DOCUMENTS).nats.tolist() == pytest.approx(expected, rel=1e-5)


def test_another_process_writes_the_same(
    model: CausalModel, model_folder: Path, fits: dict[str, Fitted], tmp_path: Path
) -> None:
    for name, fitted in fits.items():
        (tmp_path / name).mkdir()
        save_fitted(tmp_path / name, fitted)
    command = [sys.executable, "-c", ELSEWHERE, str(model_folder), str(tmp_path), json.dumps(PROMPTS), *fits]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert told == {name: tokens_of(bind(model, fit, 3.0).generate(PROMPTS, SAMPLING)) for name, fit in fits.items()}


@pytest.mark.parametrize("architecture", zoo.NAMES)
def test_words_guidance_and_reward_together_are_right_on_every_architecture(
    architecture: str, labelled: Labelled, tmp_path: Path
) -> None:
    model = load_model(str(zoo.save(architecture, tmp_path)), "cpu")
    strengths = {"word_filter": 2.0, "conditioned": 1.5, "rad": 9.0}
    args = [method_spec(name, needed_options(name)) for name in strengths]
    fits = [METHODS.get(arg.name).fit(model, labelled, arg, 0) for arg in args]
    steered = bind_all(model, list(zip(fits, strengths.values(), strict=True)))
    sampling = Sampling(max_new_tokens=4, samples=1, seed=1)
    assert tokens_of(steered.generate(PROMPTS[:3], sampling)) == written(steered.stack, PROMPTS[:3], sampling)


@pytest.mark.parametrize("architecture", zoo.NAMES)
def test_every_method_gives_single_prompts_what_it_gives_a_batch_on_every_architecture(
    architecture: str, labelled: Labelled, tmp_path: Path
) -> None:
    """At a low temperature: two logits that differ by rounding alone may change their order with the batch."""
    model = load_model(str(zoo.save(architecture, tmp_path / "model")), "cpu")
    other = zoo.save("llama", tmp_path / "other", tie_word_embeddings=True)
    sampling = Sampling(max_new_tokens=4, seed=1, temperature=0.3)
    for name in STEERING:
        fitted = METHODS.get(name).fit(model, labelled, method_spec(name, needed_options(name, other)), 0)
        steered = bind(model, fitted, 3.0)
        together = steered.generate(PROMPTS[:3], sampling)
        single = [steered.generate([prompt], sampling, indices=[i])[0] for i, prompt in enumerate(PROMPTS[:3])]
        assert single == together, name
