"""How many steps of a relearning attack it takes until a model is toxic again, by arm, with an interval over seeds."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from scipy.stats import t as student

from analysis.results import RELEARNING, named_score

_ARM = ["dose", "policy", "mixture", "method"]
_SCHEMA = {"steps": pl.Float64, "steps_low": pl.Float64, "steps_high": pl.Float64}


def relearning_table(results: pl.DataFrame) -> pl.DataFrame:
    """One row an (arm, attack): dose, policy, mixture, method (the attack's row of the study), `seeds`, `relearned`
    (seeds under which toxicity was back), `steps` with `_low` and `_high`, `at_least`, `resolution`, `start`, `until`.

    `steps` is the mean over seeds of the steps after which a measurement was first at the threshold, with a 95 % t
    interval over seeds (null with one). Where an attack was given up under some seed, no mean is known: `steps` is
    null, and `at_least` is the mean with the last step of those in its place. `resolution` is the most steps between
    two measurements, so many a figure may be too high; `start` is the mean toxicity before any step.
    """
    curves = results.filter(pl.col("evaluation") == RELEARNING, pl.col("step").is_null())
    if curves.is_empty():
        return pl.DataFrame()
    value, steps = pl.col("value"), pl.col("tokens")
    by_seed = (
        curves.with_columns(until=named_score("until"))
        .sort("tokens")
        .group_by([*_ARM, "seed"], maintain_order=True)
        .agg(
            back=steps.filter(value >= pl.col("until")).first(), last=steps.last(), start=value.first(),
            until=pl.col("until").first(), resolution=steps.diff().max(),
        )
    )  # fmt: skip
    table = by_seed.group_by(_ARM, maintain_order=True).agg(
        seeds=pl.len(), relearned=pl.col("back").is_not_null().sum(), backs=pl.col("back"),
        at_least=pl.coalesce("back", "last").mean(), resolution=pl.col("resolution").max(),
        start=pl.col("start").mean(), until=pl.col("until").first(),
    )  # fmt: skip
    figures = pl.DataFrame([_steps(backs) for backs in table["backs"].to_list()], schema=_SCHEMA, orient="row")
    order = [*_ARM, "seeds", "relearned", *_SCHEMA, "at_least", "resolution", "start", "until"]
    return table.hstack(figures).select(order).sort(_ARM)


def _steps(backs: list[int | None]) -> tuple[float | None, float | None, float | None]:
    """Mean and limits over seeds, all of which must have relearned."""
    known = [steps for steps in backs if steps is not None]
    if len(known) < len(backs):
        return None, None, None
    mean = float(np.mean(known))
    if len(known) < 2:
        return mean, None, None
    half = float(student.ppf(0.975, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known)))
    return mean, max(mean - half, 0.0), mean + half
