"""The noise of a study's differences, from the results of an earlier run of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from analysis.results import TOXICITY, main, read
from analysis.statistics.components import two_way
from analysis.statistics.power import MEASURED, NoiseOfDifference

_CELL = ["method", "budget", "strength"]


def earlier_noise(path: Path) -> NoiseOfDifference | None:
    """Components of risky minus clean, mean over the recipes and arms of `results.parquet`; the seeds' are those of
    `MEASURED` where it has one seed. None where it holds no such pair, or is no results table.
    """
    try:
        toxic = main(read([path])).filter(pl.col("evaluation") == TOXICITY, pl.col("value").is_not_null())
    except (OSError, PolarsError):
        return None
    toxic = _one_setting(toxic.filter(pl.col("value").is_not_nan()))
    pairs = [_of_pair(risky, clean) for risky, clean in _pairs(toxic)]
    measured = [pair for pair in pairs if pair is not None]
    if not measured:
        return None
    seed, prompt, rest, sample, samples = np.mean(measured, axis=0)
    one_seed = not np.isfinite(seed)
    source = f"of the earlier run in {path}"
    if one_seed:
        source += f", which has one seed: the seeds' is {MEASURED.source}"
        prompt -= sample / samples  # it is in the rest otherwise, which one seed does not tell from prompts
    # What `two_way` calls the rest holds the samples' noise, divided by their number.
    rest = max(rest - sample / samples, 0.0)
    return NoiseOfDifference(
        MEASURED.seed if one_seed else max(float(seed), 0.0),
        max(float(prompt), 0.0),
        float(rest),
        float(sample),
        source,
    )


def _one_setting(toxic: pl.DataFrame) -> pl.DataFrame:
    """Of a budget, strengths differ from model to model: they are no part of what is paired."""
    return toxic.with_columns(strength=pl.when(pl.col("budget").is_null()).then(pl.col("strength")))


def _pairs(toxic: pl.DataFrame) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows of each risky arm beside those of the clean arm under the same recipe."""
    pairs = []
    for _, recipe in toxic.group_by(_CELL, maintain_order=True):
        clean = recipe.filter(pl.col("dose") == 0)
        clean = clean.filter(pl.col("policy") == clean["policy"].min())
        risky = recipe.filter(pl.col("dose") > 0)
        pairs += [(arm, clean) for _, arm in risky.group_by("dose", "policy", "mixture", maintain_order=True)]
    return pairs


def _of_pair(risky: pl.DataFrame, clean: pl.DataFrame) -> tuple[float, float, float, float, float] | None:
    """Components of one difference (seed, prompt, rest with samples, sample), and samples of a prompt."""
    keys = ["seed", "prompt"]
    sides = [side.group_by(keys).agg(mean=pl.col("value").mean(), variance=pl.col("value").var(), count=pl.len())
             for side in (risky, clean)]  # fmt: skip
    both = sides[0].join(sides[1], on=keys, suffix="_clean").sort(keys)
    seeds = both["seed"].n_unique()
    both = both.filter(pl.len().over("prompt") == seeds)
    if both["prompt"].n_unique() < 2:
        return None
    table = (both["mean"] - both["mean_clean"]).to_numpy().reshape(1, seeds, -1)
    parts = two_way(table)
    samples = float(both["count"].mean())  # type: ignore[arg-type]
    sample = 0.0 if samples < 2 else float((both["variance"] + both["variance_clean"]).mean())  # type: ignore[arg-type]
    return float(parts.seed[0]), float(parts.prompt[0]), float(parts.rest[0]), sample, samples
