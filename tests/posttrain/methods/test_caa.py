"""CAA: the residual stream is what the network says it is, and is moved by alpha sigma theta after the chosen layer.

Covers posttrain.layers.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from infra.errors import InputError, UnavailableError
from posttrain.activations import last_token
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted, save_fitted
from posttrain.labelled import Labelled
from posttrain.layers import decoder_layers
from posttrain.methods.base import EditedPositions
from posttrain.methods.caa import Caa
from posttrain.methods.iti import Iti
from posttrain.methods.options import CaaArgs, ItiArgs, SasaArgs
from posttrain.methods.sasa import Sasa
from posttrain.model import CausalModel, load_model
from posttrain.steered import bind, bind_all
from tests.helpers.causal_models import save_tokenizer

TEXTS = ["the garden was lovely", "shut up you fool", "a calm and kind reply to a book in the rain", "you"]


def fitted(model: CausalModel, labelled: Labelled, **args: object) -> Fitted:
    return Caa.fit(model, labelled, CaaArgs.model_validate(args), seed=0)


@pytest.fixture(scope="module")
def gpt2_model(tmp_path_factory: pytest.TempPathFactory) -> CausalModel:
    """Its configuration and its modules go by other names."""
    folder = tmp_path_factory.mktemp("gpt2")
    config = transformers.GPT2Config(
        vocab_size=save_tokenizer(folder), n_embd=32, n_layer=3, n_head=4, n_positions=96, initializer_range=0.2
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return load_model(str(folder), "cpu")


@pytest.fixture(params=["model", "gqa_model", "neox_model", "gpt2_model"])
def any_model(request: pytest.FixtureRequest) -> CausalModel:
    return request.getfixturevalue(request.param)


def test_residual_stream_is_the_networks_own_hidden_states(any_model: CausalModel) -> None:
    seen = last_token(any_model, TEXTS).residual
    for index, text in enumerate(TEXTS):
        ids = torch.tensor([[any_model.start, *any_model.encode([text])[0]]])
        with torch.inference_mode():
            states = any_model.network(input_ids=ids, output_hidden_states=True).hidden_states
        for layer in range(len(seen) - 1):  # transformers gives the last one behind the last norm
            np.testing.assert_allclose(seen[layer, index], states[layer + 1][0, -1], atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("positions", ["last", "all"])
def test_edit_is_the_same_as_adding_it_by_hand(any_model: CausalModel, labelled: Labelled, positions: str) -> None:
    fit = fitted(any_model, labelled, layers=[0], positions=positions)
    ids, alpha = torch.tensor([[0, 5, 6, 7]]), 3.0
    added = alpha * fit.tensors["sigma"][0] * fit.tensors["theta"][0]
    layer = decoder_layers(any_model)[0]
    forward = layer.forward

    def by_hand(*arguments: object, **named: object) -> object:
        output = forward(*arguments, **named)
        stream = output[0] if isinstance(output, tuple) else output
        stream[:, -1 if positions == "last" else slice(None)] += added
        return output

    with torch.inference_mode():
        with Caa(any_model, fit, alpha).editing(EditedPositions()):
            edited = any_model.hidden(ids)
        layer.forward = by_hand
        try:
            expected = any_model.hidden(ids)
        finally:
            del layer.forward
        plain = any_model.hidden(ids)
    torch.testing.assert_close(edited, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(edited[:, -1], plain[:, -1], atol=1e-2)
    assert torch.equal(edited[:, 0], plain[:, 0]) == (positions == "last")


def test_direction_is_the_mean_difference_and_the_layer_the_best_probed(model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled)
    residual, benign = last_token(model, labelled.texts).residual.astype(np.float64), ~labelled.toxic
    difference = residual[:, benign].mean(1) - residual[:, ~benign].mean(1)
    expected = difference / np.linalg.norm(difference, axis=-1, keepdims=True)
    np.testing.assert_allclose(fit.tensors["theta"], expected, atol=1e-5)
    np.testing.assert_allclose(fit.tensors["sigma"], (residual * expected[:, None]).sum(-1).std(1), rtol=1e-4)
    assert fit.facts.layer_accuracy is not None
    assert fit.facts.chosen_layers == (int(np.argmax(fit.facts.layer_accuracy)),)
    both = fitted(model, labelled, layers=[1, 0])
    assert both.facts.chosen_layers == (0, 1)
    with pytest.raises(InputError, match="layers: 2 is asked, and the model's layers are 0 to 1"):
        fitted(model, labelled, layers=[2])


def test_random_control_moves_the_same_layers_by_the_same_length(model: CausalModel, labelled: Labelled) -> None:
    real = Caa(model, fitted(model, labelled), 5.0).offsets()
    control = Caa(model, fitted(model, labelled, direction="random"), 5.0).offsets()
    torch.testing.assert_close(real.norm(dim=-1), control.norm(dim=-1), atol=1e-6, rtol=1e-4)
    assert not torch.allclose(real, control, atol=1e-2)


def test_strength_zero_is_the_plain_model_and_a_strength_is_not(model: CausalModel, labelled: Labelled) -> None:
    fit, sampling = fitted(model, labelled), Sampling(max_new_tokens=8, samples=2)
    plain = bind(model, None, 0).generate(TEXTS, sampling)
    assert bind(model, fit, 0.0).generate(TEXTS, sampling) == plain
    steered = bind(model, fit, 4.0)
    together = steered.generate(TEXTS, sampling)
    assert together != plain
    assert [steered.generate([text], sampling, indices=[i])[0] for i, text in enumerate(TEXTS)] == together


def test_state_of_a_stack_survives_a_new_process(
    model: CausalModel, model_folder: Path, labelled: Labelled, tmp_path: Path
) -> None:
    """ITI and CAA under SASA with two attributes, which a file may have in another order."""
    both = replace(labelled, attributes={"toxicity": labelled, "insult": replace(labelled, toxic=~labelled.toxic)})
    sasa = Sasa.fit(model, both, SasaArgs(attributes={"toxicity": 1.0, "insult": 0.25}), 0)
    fits = {"iti": Iti.fit(model, labelled, ItiArgs(), 0), "caa": fitted(model, labelled), "sasa": sasa}
    for name, fit in fits.items():
        save_fitted(tmp_path / name, fit)
    sampling = Sampling(max_new_tokens=8)
    (row,) = bind_all(model, [(fit, 4.0) for fit in fits.values()]).generate(["the garden"], sampling)
    recipe = ",".join(f"{tmp_path / name}@4" for name in fits)
    code = (
        "import torch; torch.set_num_threads(1)\n"
        "from posttrain.decoding.sampling import Sampling\n"
        "from posttrain.recipe import parse_recipe\n"
        "from posttrain.steered import load_steered\n"
        f"steered = load_steered({str(model_folder)!r}, parse_recipe({recipe!r}), 'cpu')\n"
        "print(steered.generate(['the garden'], Sampling(max_new_tokens=8))[0][0].tokens)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(row[0].tokens)


def test_a_network_without_a_list_of_layers_is_refused(model: CausalModel) -> None:
    with pytest.raises(UnavailableError, match="decoder layers were not found"):
        decoder_layers(replace(model, outputs=model.outputs[:1]))
