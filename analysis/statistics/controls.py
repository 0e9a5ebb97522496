"""Compute-matched controls: clean models that train on as many tokens as an arm with risky text.

They are no part of what the answer stands on (`analysis.results.main`), which compares with the clean corpus. Here
they take its place, so that the same statistics compare risky text with as much further clean text.
"""

from __future__ import annotations

import polars as pl

from analysis.names import MATCHED
from analysis.statistics.answer import answer
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import build
from analysis.statistics.verdict import Answer

RELABELLED = "compute-matched-"
"""How the mixtures of the controls begin where they stand for the clean one."""


def as_clean(results: pl.DataFrame) -> pl.DataFrame:
    """The results with the controls among what comparisons stand on, as clean arms of their own mixtures."""
    mixture = pl.col("mixture")
    renamed = pl.concat_str(pl.lit(RELABELLED), mixture.str.strip_prefix(MATCHED))
    return results.with_columns(mixture=pl.when(mixture.str.starts_with(MATCHED)).then(renamed).otherwise(mixture))


def against_matched(results: pl.DataFrame) -> pl.DataFrame:
    """The results with the controls in place of the clean arm; without any control, nothing clean is left."""
    is_control = pl.col("mixture").str.starts_with(MATCHED)
    return as_clean(results.filter((pl.col("dose") > 0) | is_control))


def has_controls(results: pl.DataFrame) -> bool:
    """Whether there are compute-matched controls among the results."""
    return bool(results["mixture"].str.starts_with(MATCHED).any())


def matched_answer(
    results: pl.DataFrame, allowance: Allowance, *, resamples: int = 2000, seed: int = 0
) -> Answer | None:
    """The answer against the best compute-matched control in place of the best clean arm; None without controls, and
    where nothing was measured.
    """
    panels = build(against_matched(results)) if has_controls(results) else None
    if panels is None or not panels.cells:
        return None
    return answer(panels, allowance, resamples=resamples, seed=seed)
