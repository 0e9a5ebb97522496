"""Head accuracies of arms against the clean one, and intervals of which seeds are the units.

Covers analysis.statistics.seeds and analysis.report.geometry_tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis import results
from analysis.report import geometry_tables
from analysis.statistics.heads import heads_table, permutation_p
from analysis.statistics.seeds import over_seeds


def probes(accuracy: np.ndarray, dose: float) -> pl.DataFrame:
    """A results table of `accuracy` [seeds, heads]."""
    tables = []
    for seed, values in enumerate(accuracy):
        labels = results.Labels("arm", dose, "keep", f"dose-{dose:g}", seed, "none", 0.0)
        rows = [results.Row(prompt=i, prompt_id=str(i), value=float(v), tokens=8) for i, v in enumerate(values)]
        tables.append(results.frame(labels, results.PROBES, rows))
    return pl.concat(tables)


def test_the_three_tests_say_what_their_definitions_say() -> None:
    random = np.random.default_rng(0)
    clean, risky = random.normal(0.7, 0.05, (3, 40)), random.normal(0.72, 0.06, (3, 40))
    row = heads_table(pl.concat([probes(clean, 0.0), probes(risky, 0.25)])).to_dicts()[0]
    welch = stats.ttest_ind(risky.mean(0), clean.mean(0), equal_var=False)
    assert (row["seeds"], row["heads"]) == (3, 40)
    assert row["welch_p"] == pytest.approx(welch.pvalue) and row["welch_df"] == pytest.approx(welch.df)
    assert row["difference"] == pytest.approx(risky.mean() - clean.mean())
    paired = stats.permutation_test((risky.mean(0), clean.mean(0)), lambda a, b, axis: (a - b).mean(axis),
                                    permutation_type="samples", vectorized=True, n_resamples=9999, rng=1)  # fmt: skip
    assert row["permutation_p"] == pytest.approx(paired.pvalue, abs=0.02)
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_many_heads_of_one_seed_are_one_model() -> None:
    """The tests over heads are sure; of other trainings nothing is known."""
    random = np.random.default_rng(1)
    clean = random.normal(0.7, 0.02, (1, 200))
    table = heads_table(pl.concat([probes(clean, 0.0), probes(clean + 0.02, 0.25)]))
    row = table.to_dicts()[0]
    assert row["welch_p"] < 1e-6 and row["permutation_p"] < 1e-3
    assert row["difference_low"] is None and row["difference_high"] is None
    shown = geometry_tables.heads_table(table)[0]
    assert "one seed" in str(shown.rows[0]) and "25 % keep" in str(shown.rows[0])


def test_without_a_clean_arm_or_probes_there_is_no_table() -> None:
    risky = probes(np.full((2, 4), 0.7), 0.25)
    assert heads_table(risky).is_empty() and heads_table(risky.clear()).is_empty()
    assert geometry_tables.heads_table(heads_table(risky)) == []


def test_a_head_that_was_not_measured_and_rows_of_further_instances_take_no_part() -> None:
    clean, risky = np.full((2, 4), 0.7), np.full((2, 4), 0.8)
    clean[0, 1] = np.nan
    table = pl.concat([probes(clean, 0.0), probes(risky, 0.25)])
    other = table.with_columns(instance=pl.lit("margin"), value=pl.lit(9.0))
    row = heads_table(pl.concat([table, other])).to_dicts()[0]
    assert row["heads"] == 3 and row["difference"] == pytest.approx(0.1)


def test_permuted_signs_are_never_certain_and_uniform_without_an_effect() -> None:
    assert permutation_p(np.full(30, 1.0)) == pytest.approx(1e-4, rel=0.01)
    random = np.random.default_rng(2)
    p = [permutation_p(random.standard_normal(12), seed) for seed in range(150)]
    assert 0.4 < np.mean(p) < 0.6 and np.mean(np.array(p) < 0.1) < 0.18


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_intervals_over_seeds_cover(seeds: int) -> None:
    """4,000 studies of skewed figures at once."""
    random = np.random.default_rng(seeds)
    values = random.gamma(4.0, 0.25, (seeds, 4000))
    estimates = over_seeds(values, resamples=2000)
    covered = np.mean([estimate.low <= 1.0 <= estimate.high for estimate in estimates])
    assert 0.93 < covered < 0.99


def test_one_seed_has_no_interval_and_bounds_hold() -> None:
    alone = over_seeds(np.array([[0.5]]))[0]
    assert alone.value == 0.5 and np.isnan(alone.low) and np.isnan(alone.high)
    near = over_seeds(np.array([[0.99], [0.7]]), bounds=(0.0, 1.0))[0]
    assert near.high == 1.0 and near.low >= 0.0
