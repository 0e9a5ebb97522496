"""ITI: place of the hook, length of the edit, and its equality with a bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.errors import InputError
from posttrain.activations import last_token
from posttrain.decoding.sampling import Sampling
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import EditedPositions
from posttrain.methods.iti import Iti, bake
from posttrain.methods.options import ItiArgs
from posttrain.model import CausalModel, load_model
from posttrain.steered import bind

LAST = EditedPositions()
TEXTS = ["the garden was lovely", "shut up you fool", "a calm and kind reply to a book in the rain", "you"]


def fitted(model: CausalModel, labelled: Labelled, **args: object) -> Fitted:
    return Iti.fit(model, labelled, ItiArgs.model_validate(args), seed=0)


@pytest.fixture(params=["model", "gqa_model", "neox_model"])
def any_model(request: pytest.FixtureRequest) -> CausalModel:
    return request.getfixturevalue(request.param)


def test_activations_are_the_query_heads_outputs_whatever_the_batch(any_model: CausalModel) -> None:
    """In a padded batch as alone; and the projection of the concatenated heads is the attention's output."""
    together = last_token(any_model, TEXTS)
    assert together.heads.shape == (2, 4, 4, 8)
    for index, text in enumerate(TEXTS):
        alone = last_token(any_model, [text])
        np.testing.assert_allclose(together.heads[:, index], alone.heads[:, 0], atol=2e-5)
        np.testing.assert_allclose(together.residual[:, index], alone.residual[:, 0], atol=2e-5)
        np.testing.assert_allclose(together.hidden[index], alone.hidden[0], atol=2e-5)
    seen: list[torch.Tensor] = []
    handle = any_model.outputs[1].register_forward_hook(lambda _module, _inputs, output: seen.append(output[0, -1]))
    try:
        last_token(any_model, TEXTS[:1])
    finally:
        handle.remove()
    with torch.inference_mode():
        projected = any_model.outputs[1](torch.from_numpy(together.heads[1, 0].reshape(-1)))
    torch.testing.assert_close(projected, seen[0], atol=2e-5, rtol=1e-4)


def test_direction_is_benign_minus_toxic_and_sigma_the_spread_along_it(model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled, top_heads=3)
    heads, benign = last_token(model, labelled.texts).heads.astype(np.float64), ~labelled.toxic
    difference = heads[:, benign].mean(1) - heads[:, ~benign].mean(1)
    expected = difference / np.linalg.norm(difference, axis=-1, keepdims=True)
    np.testing.assert_allclose(fit.tensors["theta"], expected, atol=1e-5)
    np.testing.assert_allclose(fit.tensors["sigma"], (heads * expected[:, None]).sum(-1).std(1), rtol=1e-4)
    accuracy, chosen = fit.tensors["accuracy"], fit.tensors["chosen"] > 0
    assert chosen.sum() == 3
    assert accuracy[chosen].min() >= accuracy[~chosen].max()


def test_edit_moves_exactly_the_chosen_heads_by_alpha_sigma_theta(model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled, top_heads=2)
    steered = bind(model, fit, 3.0)
    seen: list[torch.Tensor] = []

    def watch(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0].clone())

    ids, first = torch.tensor([[0, 5, 6, 7]]), model.outputs[0]
    for edit in (False, True):
        with torch.inference_mode(), steered.stack.editing(LAST) if edit else bind(model, None, 0).stack.editing(LAST):
            handle = first.register_forward_pre_hook(watch)
            model.hidden(ids)
            handle.remove()
    moved = (seen[1] - seen[0]).view(4, 4, 8)
    assert moved[:3].abs().max() == 0  # only the last position
    scale = 3.0 * fit.tensors["sigma"][0] * fit.tensors["chosen"][0]
    torch.testing.assert_close(moved[3], scale[:, None] * fit.tensors["theta"][0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("direction", ["mass_mean", "probe", "lda", "random"])
def test_every_direction_has_unit_length(model: CausalModel, labelled: Labelled, direction: str) -> None:
    theta = fitted(model, labelled, direction=direction).tensors["theta"]
    torch.testing.assert_close(theta.norm(dim=-1), torch.ones(2, 4), atol=1e-5, rtol=0)


def test_random_control_edits_the_same_heads_by_the_same_length(model: CausalModel, labelled: Labelled) -> None:
    real = bind(model, fitted(model, labelled, top_heads=4), 5.0).stack.methods[0]
    control = bind(model, fitted(model, labelled, top_heads=4, direction="random"), 5.0).stack.methods[0]
    lengths = [method.offsets().view(2, 4, 8).norm(dim=-1) for method in (real, control)]  # type: ignore[attr-defined]
    torch.testing.assert_close(lengths[0], lengths[1], atol=1e-6, rtol=1e-4)
    assert not torch.allclose(real.offsets(), control.offsets(), atol=1e-2)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["model_folder", "gqa_folder"])
def test_hook_at_all_positions_equals_a_bias(kind: str, labelled: Labelled, request: pytest.FixtureRequest) -> None:
    """Also where there is a bias already: baking twice is twice the strength."""
    model = load_model(str(request.getfixturevalue(kind)), "cpu")
    fit = fitted(model, labelled, top_heads=4, positions="all")
    ids = torch.tensor([[0, 5, 6, 7, 8], [0, 9, 10, 11, 12]])
    hooked = []
    for strength in (3.0, 6.0):
        with torch.inference_mode(), bind(model, fit, strength).stack.editing(LAST):
            hooked.append(model.network(input_ids=ids).logits)
    sampling = Sampling(max_new_tokens=8, samples=3)
    generated = bind(model, fit, 3.0).generate(TEXTS, sampling)
    once = bind(model, fit, 3.0).stack.methods[0]
    plain = model.network(input_ids=ids).logits
    for expected in hooked:
        bake(once)  # type: ignore[arg-type]
        with torch.inference_mode():
            baked = model.network(input_ids=ids).logits
        torch.testing.assert_close(baked, expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(baked, plain, atol=1e-2)
        if expected is hooked[0]:
            assert bind(model, None, 0).generate(TEXTS, sampling) == generated


def test_generation_edits_the_last_token_of_every_forward(model: CausalModel, labelled: Labelled) -> None:
    """Greedy decoding against a loop without cache that edits the positions that were last when they were read."""
    fit = fitted(model, labelled, top_heads=3)
    steered = bind(model, fit, 6.0)
    (generation,) = steered.generate(["after lunch"], Sampling(max_new_tokens=6, temperature=0.0))[0]
    offsets = steered.stack.methods[0].offsets()  # type: ignore[attr-defined]
    context = [model.start, *model.encode(["after lunch"])[0]]
    ids = list(context)

    def edit(offset: torch.Tensor) -> object:
        def hook(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            edited = inputs[0].clone()
            edited[:, len(context) - 1 :] += offset
            return (edited,)

        return hook

    handles = [m.register_forward_pre_hook(edit(o)) for m, o in zip(model.outputs, offsets, strict=True)]
    with torch.inference_mode():
        for _ in range(6):
            ids.append(int(model.network(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    for handle in handles:
        handle.remove()
    assert list(generation.tokens) == ids[len(context) :]
    assert (
        bind(model, None, 0).generate(["after lunch"], Sampling(max_new_tokens=6, temperature=0.0))[0][0] != generation
    )


def test_strength_zero_is_the_plain_model(model: CausalModel, labelled: Labelled) -> None:
    sampling = Sampling(max_new_tokens=8, samples=2)
    assert bind(model, fitted(model, labelled), 0.0).generate(TEXTS, sampling) == bind(model, None, 0).generate(
        TEXTS, sampling
    )


def test_hooks_are_gone_after_use_even_after_an_error(model: CausalModel, labelled: Labelled) -> None:
    steered = bind(model, fitted(model, labelled), 5.0)
    with pytest.raises(RuntimeError), steered.stack.editing(LAST):
        raise RuntimeError
    assert all(not module._forward_pre_hooks for module in model.outputs)


def test_more_heads_than_there_are_is_refused_and_the_default_adapts(model: CausalModel, labelled: Labelled) -> None:
    with pytest.raises(InputError, match="top_heads is 9, and the model has 8 heads"):
        fitted(model, labelled, top_heads=9)
    assert fitted(model, labelled).tensors["chosen"].sum() == 4


def test_steering_of_another_shape_is_refused(model: CausalModel, gqa_model: CausalModel, labelled: Labelled) -> None:
    fit = fitted(model, labelled)
    other = replace(fit, layout=replace(fit.layout, heads=8, head_dim=4))
    with pytest.raises(InputError, match=r"2 layers x 8 heads x 4, hidden size 32.*has 2 layers x 4 heads x 8"):
        bind(model, other, 1.0)
