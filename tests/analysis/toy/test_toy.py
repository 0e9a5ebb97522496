"""The toy experiment through its stage: what the chains are, that training all at once is training alone, that a kill
changes nothing, and that the verdict follows the intervals.

Covers analysis.toy.chains, analysis.toy.spec, analysis.toy.model, analysis.toy.train, analysis.toy.measure,
analysis.toy.summary, analysis.toy.figure, analysis.toy.page and analysis.toy.stage.
"""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import ValidationError

from analysis.geometry.entanglement import welch_bound
from analysis.toy import train as training
from analysis.toy.chains import probabilities, readable_from, sequences, shared_edges
from analysis.toy.measure import RESULTS_SCHEMA, measure
from analysis.toy.model import ToyTransformer
from analysis.toy.spec import ToySpec
from analysis.toy.stage import TOY
from analysis.toy.summary import claims, summary, verdict
from analysis.toy.train import new_ensemble, train
from infra.stages.stage import run_stage


def spec_of(**changes: Any) -> ToySpec:
    given = {"name": "toy", "shares": [0.01, 1 / 3], "seeds": 2, "steps": 30}
    return ToySpec.model_validate({**given, **changes})


def test_twelve_sequences_of_which_no_two_are_alike() -> None:
    chains = spec_of().chains
    rows = sequences(chains, 6)
    assert rows.shape == (12, 6) and len(np.unique(rows, axis=0)) == 12
    assert rows[:2].tolist() == [[0, 1, 2, 3, 0, 1], [1, 2, 3, 0, 1, 2]]
    assert len(np.unique(rows[:, : readable_from(chains) + 1], axis=0)) == 12
    assert readable_from(chains) <= ToySpec(name="toy").probe_from


def test_the_default_chains_share_as_few_transitions_as_three_cycles_can() -> None:
    cycles = [(0, *rest) for rest in permutations((1, 2, 3))]
    assert shared_edges(spec_of().chains) == min(map(shared_edges, combinations(cycles, 3))) == 2


def test_the_rare_chain_has_its_share() -> None:
    chances = probabilities(spec_of().chains, 2, 0.1)
    assert chances.sum() == pytest.approx(1) and chances[8:].sum() == pytest.approx(0.1)
    assert chances[:8] == pytest.approx(0.9 / 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chains": [[0, 1, 2], [0, 1, 1]]}, "each of them once"),
        ({"chains": [[0, 1, 2, 3], [1, 2, 3, 0]], "rare": 0}, "the same cycle"),
        ({"rare": 3}, "there are 3 chains"),
        ({"probe_from": 16}, "16 tokens"),
        ({"model": {"heads": 3}}, "do not divide"),
        ({"shares": [0.1, 0.1]}, "more than once"),
    ],
)
def test_impossible_experiments_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec_of(**changes)


def test_all_models_at_once_are_trained_as_one_alone_on_whole_batches(tmp_path: Path) -> None:
    """One model, a batch of real sequences, PyTorch's own cross-entropy: the same parameters."""
    spec = spec_of(steps=8)
    ensemble = train(spec, tmp_path, lambda count: None)
    torch.manual_seed(1)
    alone = ToyTransformer(spec.model, 4, spec.length)
    optimizer = torch.optim.Adam(alone.parameters(), lr=spec.learning_rate)
    rows, chances = sequences(spec.chains, spec.length + 1), probabilities(spec.chains, 2, 1 / 3)
    for step in range(spec.steps):
        drawn = np.random.default_rng([1, step]).multinomial(spec.batch, chances)
        batch = torch.from_numpy(np.repeat(rows, drawn, axis=0))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(alone(batch[:, :-1])[0].flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
    # The last of the stack: share 1/3, seed 1. Outputs, not parameters: Adam makes noise of a gradient of zero (of the
    # keys' biases) as large as a step.
    tokens = torch.from_numpy(rows[:, :-1])
    for ours, theirs in zip(ensemble.forward(tokens), alone(tokens), strict=True):
        torch.testing.assert_close(ours[3], theirs, rtol=1e-3, atol=1e-4)


def test_no_token_sees_what_follows() -> None:
    ensemble = new_ensemble(spec_of())
    rows = torch.from_numpy(sequences(spec_of().chains, 16))
    other = torch.cat([rows[:, :9], rows[:, 9:].flip(0)], 1)
    for ours, theirs in zip(ensemble.forward(rows), ensemble.forward(other), strict=True):
        torch.testing.assert_close(ours[:, :, :9], theirs[:, :, :9])


def test_a_killed_experiment_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVE_EVERY", 10)
    whole = run_stage(TOY, spec_of(), tmp_path / "whole" / "toy", quiet=True)
    weights, asked = training._weights, []

    def killed(spec: ToySpec, step: int) -> np.ndarray:
        asked.append(step)
        if len(asked) == 26:
            raise KeyboardInterrupt
        return weights(spec, step)

    monkeypatch.setattr(training, "_weights", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(TOY, spec_of(), tmp_path / "toy", quiet=True)
    resumed = run_stage(TOY, spec_of(), tmp_path / "toy", quiet=True)
    assert asked[26:] == list(range(20, 30))
    assert resumed.files == whole.files and "training.pt" not in resumed.files


def test_the_artifact_holds_every_model_and_its_page_says_what_came_out(tmp_path: Path) -> None:
    artifact = run_stage(TOY, spec_of(), tmp_path / "toy", quiet=True)
    table = pl.read_parquet(artifact.path / "results.parquet")
    assert dict(table.schema) == {name: dtype() for name, dtype in RESULTS_SCHEMA.items()}
    assert len(table) == 2 * 2 * 6 * 12 and table["entanglement"].is_between(0, 1).all()
    highest = table.group_by("share", "seed", "estimator").agg(pl.col("entanglement").max())
    assert (highest["entanglement"] >= welch_bound(12, 4)).all()
    page = TOY.show(artifact)
    assert "The published picture under logistic by token" in str(page.tables[0].rows)
    assert page.html.count("<svg") == 6 and "0.4264" in page.html
    assert TOY.plan(spec_of()).tables[0].rows[2] == (2, "0 → 2 → 1 → 3 → 0", "rare")


def test_what_a_model_knows_is_measured_where_its_chain_can_be_told() -> None:
    """Models that go round in the first chain whatever comes: all of it is right, and none of its reverse."""
    spec = spec_of()

    class GoesRound:
        def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = 20.0 * torch.nn.functional.one_hot((tokens + 1) % 4, 4)
            stream = torch.randn(*tokens.shape, 4, generator=torch.Generator().manual_seed(0))
            return logits.expand(4, *logits.shape), stream.expand(4, *stream.shape)

    known = measure(spec, GoesRound()).group_by("chain").agg(pl.col("accuracy", "loss").mean()).sort("chain")
    assert known["accuracy"].to_list()[:2] == [1.0, 0.0] and 0.2 < known["accuracy"][2] < 0.3
    assert known["loss"][0] < 1e-6 and known["loss"][1] == pytest.approx(20, abs=0.1)


def made_up(scarce: float, even: float) -> pl.DataFrame:
    """Results of 10 seeds: the others at .8, the rare chain at `scarce` and `even`, give or take."""
    random = np.random.default_rng(0)
    rows = [
        {"share": share, "seed": seed, "estimator": "lda", "feature": feature, "rare": feature > 7, "accuracy": 1.0,
         "entanglement": (level if feature > 7 else 0.8) + 0.02 * random.standard_normal()}
        for share, level in ((0.01, scarce), (1 / 3, even)) for seed in range(10) for feature in range(12)
    ]  # fmt: skip
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("scarce", "even", "outcomes"),
    [
        (0.95, 0.8, ["there", "there"]),
        (0.8, 0.8, ["not there", "not there"]),
        (0.7, 0.8, ["the reverse", "the reverse"]),
        (0.95, 0.95, ["there", "not there"]),
    ],
)
def test_the_picture_is_there_where_the_intervals_say_so(scarce: float, even: float, outcomes: list[str]) -> None:
    answers = claims(made_up(scarce, even), 3)
    assert [answer.outcome for answer in answers] == outcomes
    assert all(outcome in verdict(answers) for outcome in outcomes)
    row = summary(made_up(scarce, even)).to_dicts()[0]
    assert row["rare_low"] < row["rare"] < row["rare_high"] and row["excess"] == pytest.approx(scarce - 0.8, abs=0.02)
