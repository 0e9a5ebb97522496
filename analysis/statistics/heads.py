"""Probe accuracy of all heads, arm against the clean arm, by three tests that ask different questions.

Li et al. 2025 (arXiv 2505.04741), figure 5, give a p-value for the difference of two head-accuracy distributions and do
not name the test. Here, and what each of them takes to be drawn anew:

- **Welch's t** over heads: both arms' heads as independent samples. It has no pairs, and heads of one model are not
  independent (they read the same stream and are probed on the same texts), so its p is too small or, where heads of
  equal place go together, too large;
- **paired permutation** over heads: a head of one arm with the head at the same layer and number of the other, signs
  drawn; meaningful where models begin at the same weights (the same seed), and dependent heads still make p too small;
- **bootstrap over seeds**: models are the units. This is the one that speaks of other trainings; with one seed there is
  none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from analysis.results import PROBES, main
from analysis.statistics.intervals import Array
from analysis.statistics.seeds import columns, over_seeds

ARM = ["dose", "policy", "mixture"]
HEADS_COLUMNS = (*ARM, "seeds", "heads", "clean_mean", "mean", "difference", "difference_low", "difference_high",
                 "welch_t", "welch_df", "welch_p", "permutation_p", "median_difference", "q95_difference")  # fmt: skip
"""Of `heads_table`. Accuracies are fractions; `difference` (mean accuracy above the clean arm's) has its interval over
seeds, null with one; the tests over heads take a head's accuracy averaged over the seeds that both arms have; `q95` is
the distribution's right tail.
"""
_PERMUTATIONS = 10_000
_QUANTILES = {"median_difference": 0.5, "q95_difference": 0.95}


def heads_table(results: pl.DataFrame, *, seed: int = 0) -> pl.DataFrame:
    """One row a risky arm, columns `HEADS_COLUMNS`; empty without a clean arm or without probes of both.

    A head that could not be probed under some seed takes no part.
    """
    probes = main(results).filter(pl.col("evaluation") == PROBES, pl.col("method") == "none")
    arms = sorted(probes.select(ARM).unique().rows())
    clean = next((arm for arm in arms if arm[0] == 0), None)
    rows = [] if clean is None else [_compared(probes, clean, arm, seed) for arm in arms if arm[0] > 0]
    whole = [row for row in rows if row is not None]
    return pl.concat(whole).select(HEADS_COLUMNS) if whole else pl.DataFrame()


def _compared(probes: pl.DataFrame, clean: tuple[Any, ...], arm: tuple[Any, ...], seed: int) -> pl.DataFrame | None:
    """One arm's row; None where no head was probed in both under a common seed."""
    joined = _accuracy(probes, clean).join(_accuracy(probes, arm), on=["seed", "prompt"], suffix="_arm").drop_nulls()
    pair = [_table(joined, column) for column in ("value", "value_arm")]
    ours = [table[:, ~np.isnan(np.stack(pair)).any((0, 1))] for table in pair]
    if not joined.height or not ours[0].shape[1]:
        return None
    base, values = ours
    heads_clean, heads = base.mean(0), values.mean(0)
    figures: dict[str, Any] = dict(zip(ARM, arm, strict=True))
    figures |= {"seeds": len(base), "heads": len(heads), "clean_mean": heads_clean.mean(), "mean": heads.mean()}
    figures |= columns("difference", over_seeds((values - base).mean(1, keepdims=True), seed=seed))
    figures |= _tests(heads_clean, heads, seed)
    for name, q in _QUANTILES.items():
        figures[name] = float(np.quantile(heads, q) - np.quantile(heads_clean, q))
    return pl.DataFrame(figures, schema_overrides={"dose": pl.Float64})


def _tests(clean: Array, heads: Array, seed: int) -> dict[str, float | None]:
    """Both tests over heads [heads]; null where they are not defined (a head, or no spread)."""
    none: dict[str, float | None] = {"welch_t": None, "welch_df": None, "welch_p": None, "permutation_p": None}
    if len(heads) < 2 or not (heads - clean).any():
        return none
    permuted = permutation_p(heads - clean, seed)
    if max(np.ptp(heads), np.ptp(clean)) < 1e-9:
        return none | {"permutation_p": permuted}
    welch = stats.ttest_ind(heads, clean, equal_var=False)
    return {"welch_t": float(welch.statistic), "welch_df": float(welch.df), "welch_p": float(welch.pvalue),
            "permutation_p": permuted}  # fmt: skip


def permutation_p(differences: Array, seed: int = 0) -> float:
    """Two-sided p of the mean of paired `differences` [pairs] with signs drawn; the observed signs are one draw
    (Phipson & Smyth 2010), so that it is never 0.
    """
    signs = np.random.default_rng([seed, 0x516]).integers(0, 2, (_PERMUTATIONS, len(differences))) * 2 - 1
    drawn = np.abs(signs @ differences) / len(differences)
    reached = drawn >= abs(differences.mean()) * (1 - 1e-12)
    return float((1 + reached.sum()) / (1 + _PERMUTATIONS))


def _accuracy(probes: pl.DataFrame, arm: tuple[Any, ...]) -> pl.DataFrame:
    """Accuracy by seed and head; of a head that is there twice (a model probed under two recipes), the first."""
    of = probes.filter(*(pl.col(key) == value for key, value in zip(ARM, arm, strict=True)))
    of = of.with_columns(pl.col("value").fill_nan(None))
    return of.unique(["seed", "prompt"], keep="first", maintain_order=True).select("seed", "prompt", "value")


def _table(joined: pl.DataFrame, column: str) -> Array:
    """[seeds, heads]; nan where a seed lacks a head."""
    wide = joined.sort("prompt").pivot(on="prompt", index="seed", values=column, maintain_order=True).sort("seed")
    return np.asarray(wide.drop("seed").to_numpy().astype(np.float64))
