"""The strength that costs a budget: on planted costs, and on real small models of three architectures.

Covers posttrain.strength.
"""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import AmountError, InputError
from posttrain.activations import right_padded
from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods import METHODS
from posttrain.methods.options import ItiArgs, PromptArgs
from posttrain.model import CausalModel, load_model
from posttrain.steered import bind_all
from posttrain.strength import find_strength, search, tolerance_of
from tests.helpers.causal_models import BENIGN, TOXIC, save_model, sentences

DOCUMENTS = sentences(BENIGN)[:24]
budgets = st.floats(0.01, 0.3)
ARCHITECTURES = ("olmo", "llama", "neox")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CausalModel]:
    """Models that have learned their sentences: what steering does to a random one is no price."""
    return {name: learned(name, tmp_path_factory.mktemp(name)) for name in ARCHITECTURES}


def learned(architecture: str, folder: Path) -> CausalModel:
    """A small model after some passes over benign and toxic sentences."""
    model = load_model(str(save_model(folder, architecture, initializer_range=0.05)), "cpu")
    rows = [[model.start, *ids] for ids in model.encode(sentences(BENIGN) + sentences(TOXIC))]
    optimizer = torch.optim.AdamW(model.network.parameters(), 5e-3)
    for step in range(40):
        ids, last = right_padded(rows[step % 4 :: 4], model)
        labels = ids.masked_fill(torch.arange(ids.shape[1]) > last[:, None], -100)
        model.network(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@settings(max_examples=300)
@given(budgets, st.floats(-3, 1), st.floats(0.8, 4), st.sampled_from([1.0, 4.0, 10.0]))
def test_a_rising_cost_is_met_from_below_in_few_tries(budget: float, size: float, power: float, first: float) -> None:
    end = search(lambda strength: 10**size * strength**power, budget, first)
    assert end.reached and end.tries <= 20
    assert budget - tolerance_of(budget) <= 10**size * end.strength**power <= budget


@settings(max_examples=100)
@given(budgets, st.floats(0.1, 20))
def test_a_cost_with_a_bend_is_met_too(budget: float, bend: float) -> None:
    """Nothing below the bend, even a gain, and steep beyond it."""
    end = search(lambda strength: -0.001 * strength if strength < bend else 3 * (strength - bend) ** 2, budget, 4.0)
    assert end.reached


@given(budgets, st.floats(0.1, 0.8))
def test_a_cost_that_saturates_below_the_budget_is_said_not_to_reach_it(budget: float, share: float) -> None:
    end = search(lambda strength: share * budget * -math.expm1(-strength), budget, 10.0)
    assert not end.reached and end.strength == 10.0 * 2**10


def test_a_cost_that_jumps_over_the_budget_stays_below_it() -> None:
    end = search(lambda strength: 0.0 if strength < 3 else math.nan, 0.1, 4.0)
    assert not end.reached and 2.9 < end.strength < 3


def test_what_already_costs_more_leaves_the_method_out() -> None:
    assert search(lambda strength: 1.0, 0.1, 4.0).strength == 0
    assert search(lambda strength: pytest.fail("no try is needed"), 0.1, 4.0, rest=0.2) == (0.0, False, 0)


def iti(model: CausalModel, labelled: Labelled) -> Fitted:
    return METHODS.get("iti").fit(model, labelled, ItiArgs(top_heads=4, folds=2), 0)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("budget", [0.02, 0.2])
def test_the_strength_found_on_a_model_costs_the_budget(
    name: str, budget: float, labelled: Labelled, trained: dict[str, CausalModel]
) -> None:
    model = trained[name]
    fitted = iti(model, labelled)
    found = find_strength(model, [(fitted, None)], DOCUMENTS, budget)
    steered, plain = (bind_all(model, fits).cross_entropy(DOCUMENTS) for fits in ([(fitted, found.strength)], []))
    assert found.reached and budget - tolerance_of(budget) <= found.cost.value <= budget
    assert found.cost.value == pytest.approx(steered.per_token - plain.per_token, abs=1e-9)
    assert found.cost.low <= found.cost.value <= found.cost.high and found.passes < 20


def test_the_rest_of_a_recipe_counts(trained: dict[str, CausalModel], labelled: Labelled) -> None:
    model = trained["olmo"]
    fitted = iti(model, labelled)
    alone = find_strength(model, [(fitted, None)], DOCUMENTS, 0.2)
    rest = find_strength(model, [(fitted, 0.7 * alone.strength), (fitted, None)], DOCUMENTS, 0.2)
    assert rest.reached and 0 < rest.strength < alone.strength
    dear = find_strength(model, [(fitted, 2 * alone.strength), (fitted, None)], DOCUMENTS, 0.2)
    assert dear.strength == 0 and not dear.reached and dear.cost.value > 0.2


def test_costs_may_count_from_another_model(trained: dict[str, CausalModel], labelled: Labelled) -> None:
    """As of a model that was tuned out of another: what the tuning cost is part of the price."""
    before, tuned = trained["olmo"], trained["llama"]
    fitted = iti(tuned, labelled)
    between = bind_all(tuned, []).cross_entropy(DOCUMENTS).per_token
    between -= bind_all(before, []).cross_entropy(DOCUMENTS).per_token
    budget = max(between, 0.0) + 0.1
    found = find_strength(tuned, [(fitted, None)], DOCUMENTS, budget, reference=before)
    assert found.reached and found.cost.value == pytest.approx(budget, abs=0.006)
    priced = bind_all(tuned, [(fitted, found.strength)]).cross_entropy(DOCUMENTS).per_token
    assert priced - bind_all(before, []).cross_entropy(DOCUMENTS).per_token == pytest.approx(found.cost.value)


def test_senseless_requests_are_refused(model: CausalModel, labelled: Labelled) -> None:
    fitted = iti(model, labelled)
    prompt = METHODS.get("prompt").fit(model, None, PromptArgs(text="Be kind."), 0)
    for fits in ([(fitted, 1.0)], [(fitted, None), (prompt, None)]):
        with pytest.raises(InputError, match="the strength of one method"):
            find_strength(model, fits, DOCUMENTS, 0.1)
    with pytest.raises(AmountError, match="2 documents"):
        find_strength(model, [(fitted, None)], DOCUMENTS[:1], 0.1)
