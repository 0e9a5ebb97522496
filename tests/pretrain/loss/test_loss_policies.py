"""The loss of every policy against a plain float64 reference.

Covers pretrain.loss.policy, pretrain.loss.spec.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.formats.risk import STRUCTURAL, threshold_byte
from pretrain.loss.policy import LossPolicy, LossTable, log1mexp, policy_loss, remove_inputs
from pretrain.loss.spec import LossSpec
from pretrain.planning.estimate import action_of
from pretrain.spec import PretrainSpec

POLICIES = (
    {"policy": "keep"},
    {"policy": "mask", "at_or_above": 0.5},
    {"policy": "unlikelihood", "at_or_above": 0.9, "weight": 0.25},
    {"policy": "remove", "at_or_above": 0.3},
    {"bands": [{"at_or_above": 1e-4, "do": "mask"}, {"at_or_above": 0.99, "do": "unlikelihood", "weight": 2.0}]},
    {"policy": "mask", "components": ["risky"]},
    {"policy": "mask", "normalise_by": "all_tokens"},
    {"policy": "mask", "by_component": {"risky": {"policy": "unlikelihood", "at_or_above": 0.2}}},
)


def reference(logits: np.ndarray, targets: np.ndarray, risk: np.ndarray, spec: LossSpec, names: list[str]):
    """Sum and denominator, one token after another, in float64."""
    total, count = 0.0, 0
    for row, column in np.ndindex(targets.shape):
        scores = logits[row, column].astype(np.float64)
        p = np.exp(scores - scores.max())[targets[row, column]] / np.exp(scores - scores.max()).sum()
        byte = int(risk[row, column])
        if byte == STRUCTURAL:
            continue
        action, weight = "keep", 1.0
        policy = spec.by_component.get(names[row], spec)
        if policy is not spec or spec.components is None or names[row] in spec.components:
            for band in policy.effective_bands:
                if byte >= threshold_byte(band.at_or_above):
                    action, weight = band.do, band.weight
        total += {"keep": -math.log(p), "unlikelihood": -weight * math.log1p(-p)}.get(action, 0.0)
        count += action in ("keep", "unlikelihood") or spec.normalise_by == "all_tokens"
    return total, count


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), policy=st.sampled_from(POLICIES), scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_every_policy_agrees_with_a_float64_reference(seed, policy, scale):
    rng = np.random.default_rng(seed)
    logits = (rng.standard_normal((4, 7, 11)) * scale).astype(np.float32)
    targets, risk = rng.integers(0, 11, (4, 7)), rng.integers(0, 256, (4, 7)).astype(np.uint8)
    spec, names = LossSpec.model_validate(policy), ["clean", "risky", "clean", "risky"]
    ce = functional.cross_entropy(torch.tensor(logits).transpose(1, 2), torch.tensor(targets), reduction="none")
    table = LossTable.from_spec(spec, ["clean", "risky"])
    total, count = policy_loss(ce, torch.tensor(risk), torch.tensor([[0], [1], [0], [1]]), table)
    expected, tokens = reference(logits, targets, risk, spec, names)
    assert count.item() == tokens
    assert total.item() == pytest.approx(expected, rel=2e-5, abs=2e-5)


def test_masked_loss_is_cross_entropy_with_ignored_targets():
    torch.manual_seed(0)
    logits = torch.randn(3, 8, 13, requires_grad=True)
    targets, risk = torch.randint(0, 13, (3, 8)), torch.randint(1, 255, (3, 8), dtype=torch.uint8)
    ce = functional.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    table = LossTable.from_spec(LossSpec(policy="mask"), ["all"])
    total, count = policy_loss(ce, risk, torch.zeros(3, 1, dtype=torch.long), table)
    (mine,) = torch.autograd.grad(total / count, logits, retain_graph=True)
    ignored = targets.masked_fill(risk >= threshold_byte(0.5), -100)
    plain = functional.cross_entropy(logits.transpose(1, 2), ignored)
    (theirs,) = torch.autograd.grad(plain, logits)
    assert (total / count).item() == pytest.approx(plain.item(), rel=1e-6)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("margin", [0.0, 1.0, 5.0, 12.0, 14.0])
def test_unlikelihood_value_and_gradient_agree_with_float64_where_p_is_near_one(margin):
    def loss(dtype: torch.dtype) -> tuple[float, torch.Tensor]:
        logits = torch.tensor([[margin, 0.0, -1.0]], dtype=dtype, requires_grad=True)
        ce = functional.cross_entropy(logits, torch.tensor([0]), reduction="none")
        value = -log1mexp(ce).sum() if dtype == torch.float32 else -torch.log(-torch.expm1(-ce)).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        return value.item(), gradient

    (mine, gradient), (exact, expected) = loss(torch.float32), loss(torch.float64)
    assert mine == pytest.approx(exact, rel=2e-2)
    torch.testing.assert_close(gradient.double(), expected, rtol=5e-2, atol=1e-6)


@pytest.mark.parametrize("margin", [17.0, 30.0, 1e4])
def test_unlikelihood_stays_finite_and_pushes_down_where_fp32_says_p_is_one(margin):
    logits = torch.tensor([[margin, 0.0]], requires_grad=True)
    ce = functional.cross_entropy(logits, torch.tensor([0]), reduction="none")
    (-log1mexp(ce).sum()).backward()
    assert torch.isfinite(log1mexp(ce)).all()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0] >= 0


def test_log1mexp_rises_without_a_jump_over_its_whole_range():
    x = torch.logspace(-12, 2, 20_000)
    slopes = torch.autograd.grad(log1mexp(x.requires_grad_()).sum(), x)[0]
    assert (slopes > 0)[x < 80].all()
    assert (log1mexp(x).diff() >= -1e-6).all()


def test_padding_and_prefixes_are_never_targets_under_any_policy():
    for policy in POLICIES:
        table = LossTable.from_spec(LossSpec.model_validate(policy), ["clean", "risky"])
        risk = torch.full((2, 3), STRUCTURAL, dtype=torch.uint8)
        total, count = policy_loss(torch.full((2, 3), 7.0), risk, torch.tensor([[0], [1]]), table)
        assert (total.item(), count.item()) == (0.0, 0)


def test_remove_replaces_risky_inputs_of_the_named_component_only():
    table = LossTable.from_spec(LossSpec(policy="remove", components=("risky",)), ["clean", "risky"])
    tokens = torch.tensor([[5, 6, 7], [5, 6, 7]])
    risk = torch.tensor([[1, 254, 255], [1, 254, 255]], dtype=torch.uint8)
    out = remove_inputs(tokens, risk, torch.tensor([[0], [1]]), table, replacement=2)
    assert out.tolist() == [[5, 6, 7], [5, 2, 7]]


SLUNG = {
    "slung-control": ("keep", "keep", "keep"),
    "slung-low-risk": ("keep", "keep", "keep"),
    "slung-toxic": ("keep", "keep", "keep"),
    "slung-masked": ("keep", "mask", "mask"),
    "slung-unlikelihood": ("keep", "keep", "unlikelihood"),
}


@pytest.mark.parametrize(("arm", "expected"), SLUNG.items(), ids=SLUNG.keys())
def test_an_arm_of_slung_is_one_line(arm, expected):
    loss = PretrainSpec.model_validate({"name": "arm", "mixture": "m", "loss": arm}).loss
    classes = [threshold_byte(score) for score in (5e-5, 0.5, 0.995)]  # of its classes 1, 2 and 3
    assert tuple(action_of(loss, "any", byte) for byte in classes) == expected
    table = LossTable.from_spec(loss, ["any"])
    assert table.cross_entropy[0, classes].tolist() == [float(action == "keep") for action in expected]
    assert table.unlikelihood[0, classes].tolist() == [float(action == "unlikelihood") for action in expected]


def test_a_policy_holds_from_its_share_of_the_steps_on():
    policy = LossPolicy.from_spec(LossSpec(policy="mask", begin_at=0.3), ["all"], steps=10)
    risky = threshold_byte(0.9)
    assert [policy.at(step).cross_entropy[0, risky].item() for step in (0, 2, 3, 9)] == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "slung-masked", "at_or_above": 0.3}, "leave out at_or_above"),
        ({"components": ["a"], "by_component": {"a": {"policy": "mask"}}}, "name it once"),
        ({"begin_at": 1.0}, "less than 1"),
    ],
)
def test_a_policy_is_said_once(wrong, message):
    with pytest.raises(ValueError, match=message):
        LossSpec.model_validate(wrong)


def test_bands_must_ascend_and_exclude_a_policy():
    with pytest.raises(ValueError, match="ascend"):
        LossSpec.model_validate({"bands": [{"at_or_above": 0.9, "do": "mask"}, {"at_or_above": 0.1, "do": "mask"}]})
    with pytest.raises(ValueError, match="not both"):
        LossSpec.model_validate({"policy": "mask", "bands": []})
