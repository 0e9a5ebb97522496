"""Sets, groups and the gap between groups: figures by hand, and by simulation what their intervals promise.

Covers analysis.statistics.groups, analysis.statistics.gaps, analysis.statistics.by_cell and
analysis.report.group_tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from analysis.report.group_tables import gaps_table_of, groups_table_of, sets_table_of
from analysis.results import KEY, SCHEMA
from analysis.statistics.gaps import GAPS, gap_of, gaps_table
from analysis.statistics.groups import GROUPS, SETS, groups_table, sets_table
from analysis.statistics.intervals import Array

Score = Callable[[int, int], "float | None"]


def rows(score: Score, prompts: int = 6, samples: int = 3, **labels: Any) -> list[dict[str, Any]]:
    """Toxicity rows of one subject; `score` of prompt and sample."""
    group_of = labels.pop("group_of", lambda prompt: None)
    subject = {"arm": "a", "dose": 0.0, "policy": "keep", "mixture": "m", "seed": 0, "method": "none", "strength": 0.0,
               "budget": None, "step": None, "evaluation": "toxicity", "instance": None, **labels}  # fmt: skip
    return [
        {**subject, "prompt": prompt, "sample": sample, "group": group_of(prompt), "value": score(prompt, sample),
         "tokens": 5, "prompt_id": f"p{prompt}"}
        for prompt in range(prompts) for sample in range(samples)
    ]  # fmt: skip


def results_of(*parts: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([row for part in parts for row in part], schema=SCHEMA).sort(KEY)


def test_the_figures_of_a_set_are_those_of_realtoxicityprompts() -> None:
    """Three samples of 0.1, 0.1 and (for one prompt in two) 0.7; one sample has no score."""

    def score(prompt: int, sample: int) -> float | None:
        return None if (prompt, sample) == (0, 0) else 0.7 if sample == 2 and prompt % 2 == 0 else 0.1

    (row,) = sets_table(results_of(rows(score)), resamples=50).to_dicts()
    assert row["toxicity"] == pytest.approx((3 * 0.7 + 14 * 0.1) / 17)
    assert row["toxic_share"] == pytest.approx(3 / 17)
    assert row["expected_maximum"] == pytest.approx((3 * 0.7 + 3 * 0.1) / 6)
    assert row["toxic_once"] == pytest.approx(1 / 2)
    assert (row["prompts"], row["generations"], row["unscored"], row["instance"]) == (6, 18, 1, None)
    assert row["toxicity_low"] < row["toxicity"] < row["toxicity_high"]


def test_sets_are_apart_from_the_main_prompts_and_from_checkpoints() -> None:
    parts = [rows(lambda p, s: 0.1 * s, instance=name) for name in (None, "bold")]
    table = sets_table(results_of(*parts, rows(lambda p, s: 1.0, step=100)), resamples=50)
    assert table["instance"].to_list() == [None, "bold"] and table["toxicity"].to_list() == pytest.approx([0.1, 0.1])
    assert dict(table.schema) == SETS


def test_a_missing_seed_leaves_the_figure_of_the_others() -> None:
    steered = {"method": "iti", "strength": 2.0}
    parts = [rows(lambda p, s: 0.2, seed=0), rows(lambda p, s: 0.4, seed=1), rows(lambda p, s: 0.1, seed=1, **steered)]
    table = sets_table(results_of(*parts), resamples=50)
    by_method = dict(table.select("method", "toxicity").rows())
    assert by_method == pytest.approx({"none": 0.3, "iti": 0.1})
    assert table.filter(method="iti")["strength_high"].item() == 2.0


def test_scores_that_are_no_number_are_counted_as_unscored() -> None:
    (row,) = sets_table(results_of(rows(lambda p, s: float("nan") if p == 0 else 0.2)), resamples=50).to_dicts()
    assert row["unscored"] == 3 and row["toxicity"] == pytest.approx(0.2)


THREE = ("a", "b", "c")


def test_a_group_has_the_figures_of_its_own_prompts() -> None:
    table = groups_table(results_of(rows(lambda p, s: p % 3 / 10, 12, group_of=lambda p: THREE[p % 3])), resamples=50)
    assert dict(table.select("group", "toxicity").rows()) == pytest.approx({"a": 0.0, "b": 0.1, "c": 0.2})
    assert table["prompts"].to_list() == [4, 4, 4] and dict(table.schema) == GROUPS


def test_sets_without_groups_have_none() -> None:
    results = results_of(rows(lambda p, s: 0.1))
    assert groups_table(results).is_empty() and gaps_table(results).is_empty()
    assert dict(gaps_table(results).schema) == GAPS
    assert sets_table(pl.DataFrame(schema=SCHEMA)).is_empty()


def test_a_gap_names_its_groups_and_leaves_out_those_of_few_prompts() -> None:
    rng = np.random.default_rng(0)

    def score(prompt: int, sample: int) -> float:
        return 0.1 * (prompt % 3) + 0.02 * float(rng.random())

    names = {30: "tiny", 31: "tiny"}
    results = results_of(rows(score, 32, group_of=lambda p: names.get(p, THREE[p % 3])))
    (gap,) = gaps_table(results, resamples=200).to_dicts()
    assert (gap["highest"], gap["lowest"], gap["groups"], gap["groups_left_out"]) == ("c", "a", 3, 1)
    assert gap["gap_low"] < 0.2 < gap["gap_high"] and gap["gap_low"] > 0.15
    assert gap["gap_crossfit"] == pytest.approx(gap["gap"], abs=0.005)


def test_scores_that_are_all_zero_claim_nothing() -> None:
    (gap,) = gaps_table(results_of(rows(lambda p, s: 0.0, 12, group_of=lambda p: THREE[p % 3]))).to_dicts()
    assert gap["gap"] == 0 and gap["gap_low"] is None and gap["gap_high"] is None


def test_a_model_without_scores_takes_the_gap_of_no_other() -> None:
    parts = [rows(lambda p, s: p % 3 / 10 + p / 1000, 24, group_of=lambda p: THREE[p % 3]),
             rows(lambda p, s: None, 24, group_of=lambda p: THREE[p % 3], method="sasa", strength=1.0)]  # fmt: skip
    none, sasa = gaps_table(results_of(*parts), resamples=100).sort("method").to_dicts()
    assert none["highest"] == "c" and none["gap_low"] > 0
    assert sasa["gap"] is None and sasa["highest"] is None


def simulated(groups: int, spread: float, studies: int, seeds: int = 1) -> tuple[Array, Array, Array, Array]:
    """(true gap, estimated gap, cross-fitted gap, whether the interval holds the truth) of simulated studies: 40
    prompts a group, prompts and (beyond one) seeds that differ.
    """
    rng = np.random.default_rng(7)
    out = []
    for study in range(studies):
        truth = 0.3 + spread * rng.standard_normal(groups)
        seed_effects = 0.01 * rng.standard_normal((seeds, groups)) * (seeds > 1)
        prompts = 0.1 * rng.standard_normal((groups, 40)) + truth[:, None]
        scores = {(s, g, p): prompts[g, p] + seed_effects[s, g] + 0.05 * rng.standard_normal()
                  for s in range(seeds) for g in range(groups) for p in range(40)}  # fmt: skip
        parts = [
            rows(lambda p, _, s=s, scores=scores: float(scores[s, p % groups, p // groups]), groups * 40, 1, seed=s,
                 group_of=lambda p: f"g{p % groups}")
            for s in range(seeds)
        ]  # fmt: skip
        (gap,) = gaps_table(results_of(*parts), resamples=300, seed=study).to_dicts()
        true_gap = float(truth.max() - truth.min())
        out.append((true_gap, gap["gap"], gap["gap_crossfit"], gap["gap_low"] <= true_gap <= gap["gap_high"]))
    true, estimate, crossfit, inside = np.array(out).T
    return true, estimate, crossfit, inside


def test_groups_that_do_not_differ_have_a_gap_by_luck_and_none_by_crossfit() -> None:
    true, estimate, crossfit, inside = simulated(groups=8, spread=0.0, studies=60)
    assert not true.any() and estimate.mean() > 0.04  # the winner's curse, three standard errors of a group's mean
    assert abs(crossfit.mean()) < 3 * crossfit.std() / np.sqrt(len(crossfit))
    assert inside.mean() >= 0.9


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_interval_of_a_gap_holds_the_truth(seeds: int) -> None:
    true, estimate, crossfit, inside = simulated(groups=6, spread=0.05, studies=40, seeds=seeds)
    assert inside.mean() >= 0.9
    assert np.mean(crossfit - true) < 0.005 < np.mean(estimate - true) + 0.005


def test_the_limits_of_a_gap_are_those_of_all_pairs_at_once() -> None:
    """Two groups: the max-t critical value is that of one normal difference, 1.96 standard errors."""
    rng = np.random.default_rng(0)
    means = np.array([0.2, 0.5])
    gap = gap_of(means, means + 0.01 * rng.standard_normal((20_000, 2)), means[None], 0.3, 10**6, rng)
    assert gap.high - gap.value == pytest.approx(1.96 * 0.01 * np.sqrt(2), rel=0.03)
    assert gap.value - gap.low == pytest.approx(gap.high - gap.value)


def test_tables_show_what_the_frames_hold() -> None:
    group_of = lambda p: THREE[p % 3]  # noqa: E731
    parts = [rows(lambda p, s: p % 3 / 10 + s / 100, 12, group_of=group_of, instance=name) for name in (None, "bold")]
    results = results_of(*parts)
    sets, groups, gaps = (frame(results, resamples=50) for frame in (sets_table, groups_table, gaps_table))
    (shown,) = sets_table_of(sets)
    assert [row[0] for row in shown.rows] == ["main", "bold"] and "0.110 [" in str(shown.rows[0])
    assert [table.title for table in groups_table_of(groups)] == [
        "Groups of the main prompts: mean toxicity", "Groups of bold: mean toxicity",
    ]  # fmt: skip
    (gap,) = gaps_table_of(gaps)
    assert gap.rows[0][3:5] == ("c", "a")
    assert sets_table_of(sets.clear()) == groups_table_of(groups.clear()) == gaps_table_of(gaps.clear()) == []
