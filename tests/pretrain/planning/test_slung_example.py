"""Continued pretraining as SLUNG does it: five arms that differ in one key, over mixtures of 1,020 steps.

Covers pretrain.planning.estimate.
"""

from __future__ import annotations

import pytest

from hormesis import load
from mixtures.spec.amounts import resolve
from mixtures.spec.mixture import MixtureSpec
from pretrain.model.architecture import Architecture
from pretrain.planning.estimate import Training
from pretrain.spec import ModelSpec, PretrainSpec
from tests.helpers import ROOT

EXAMPLES = ROOT / "examples"
ARMS = {
    "control": [],
    "low-risk": [],
    "toxic": [],
    "masked": [(1e-4, "mask")],
    "unlikelihood": [(0.99, "unlikelihood")],
}
CONTROL = ["components.reddit.tokens=0", "components.dolma.tokens=4278190080"]


def arm(name: str) -> PretrainSpec:
    spec = load(EXAMPLES / "pretrain-slung.yaml", [f"loss=slung-{name}"]).spec
    assert isinstance(spec, PretrainSpec)
    return spec


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_one_key_and_goes_on_from_a_checkpoint(name: str) -> None:
    spec = arm(name)
    assert [(band.at_or_above, band.do) for band in spec.loss.effective_bands] == ARMS[name]
    assert spec.model_copy(update={"loss": arm("masked").loss}) == arm("masked")
    assert spec.start_from is not None and spec.optimizer.schedule is not None
    assert spec.optimizer.schedule.steps - spec.optimizer.schedule.taken == 1020


MIXTURES = [("mixture-slung", []), ("mixture-slung-low-risk", []), ("mixture-slung", CONTROL)]


@pytest.mark.parametrize("name,changes", MIXTURES, ids=["toxic", "low-risk", "control"])
def test_every_mixture_takes_1020_steps(name: str, changes: list[str]) -> None:
    mixture = load(EXAMPLES / f"{name}.yaml", changes).spec
    assert isinstance(mixture, MixtureSpec)
    amounts = {key: component.amount for key, component in mixture.components.items()}
    tokens = resolve(amounts, dict.fromkeys(amounts, 0))
    architecture = Architecture.from_spec(ModelSpec(preset="olmo-1b"), 0, mixture.sequence_length)
    spec = PretrainSpec(name="arm", mixture=".", global_batch_size=2048)
    assert Training(spec, architecture, mixture.sequence_length, (tuple(tokens.values()),)).steps == 1020


def test_the_low_risk_arm_differs_in_its_documents_spans_only() -> None:
    whole = load(EXAMPLES / "mixture-slung.yaml", []).spec
    cut = load(EXAMPLES / "mixture-slung-low-risk.yaml", []).spec
    spans = cut.components["reddit"].risky_spans  # type: ignore[attr-defined]
    assert (spans.do, spans.at_or_above) == ("cut", 1e-4)
    same = cut.components["reddit"].model_copy(update={"risky_spans": None})  # type: ignore[attr-defined]
    assert same == whole.components["reddit"]  # type: ignore[attr-defined]
