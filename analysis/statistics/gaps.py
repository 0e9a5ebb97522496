"""The gap between groups: how much worse the worst-off group fares than the best-off (SASA, Ko et al. 2025, arXiv
2410.03818, reports one on BOLD; its definition could not be recovered, this one is ours).

    gap = max over groups of mean toxicity - min over groups of mean toxicity

in one set of prompts and one cell; of two groups it is the size of their difference, so that a stated pair is a set of
its own (`where: metadata.domain == "gender"`).

The largest of many noisy means is the largest in part by luck, so the gap of groups that do not differ at all is above
0 and grows with their number. Two things answer that. `gap_crossfit` picks the highest and the lowest group on half of
each group's prompts and takes their difference on the other half, over many halvings: it is 0 on average where groups
do not differ, and never above the truth (both groups may be picked wrongly). The interval is simultaneous over all
pairs of groups (single-step max-t): all true differences lie within c standard errors of theirs at once in 95 % of
studies, so the largest of them lies between the largest lower and the largest upper limit.

Prompts are resampled within their group. What seeds add is the variance, over seeds, of a group's mean beside that of
the seed over all groups (which no difference sees), and enters the draws as normal over chi-squared noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.statistics.by_cell import CELL_SCHEMA, estimate_schema
from analysis.statistics.groups import ScoredSet, scored_sets
from analysis.statistics.intervals import Array, Panel, draw_weights

FEWEST_PROMPTS = 4
"""A group with fewer scored prompts takes no part: its mean has no standard error to speak of."""
_HALVINGS = 100

GAPS: dict[str, pl.DataType] = {
    **CELL_SCHEMA, "instance": pl.String(), "groups": pl.Int64(), "groups_left_out": pl.Int64(),
    "highest": pl.String(), "lowest": pl.String(), **estimate_schema("gap"), "gap_crossfit": pl.Float64(),
}  # fmt: skip
"""The frame `gaps`: one row a cell and set with groups. `groups_left_out` have fewer than 4 scored prompts; `highest`
and `lowest` are those observed; no claim is to be made of a gap whose `gap_low` is 0. Limits are null where no group
varies at all, or where fewer than two groups are left.
"""


@dataclass(frozen=True)
class Gap:
    """The gap of one cell; `highest` and `lowest` are numbers of groups."""

    value: float
    low: float
    high: float
    highest: int
    lowest: int
    crossfit: float


def gaps_table(results: pl.DataFrame, *, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> pl.DataFrame:
    """The frame `gaps`; without rows where no set has two groups that can be compared."""
    frames = [_of_set(chosen, resamples, seed, level) for chosen in scored_sets(results)]
    return pl.concat([pl.DataFrame(schema=GAPS), *frames])


def _of_set(chosen: ScoredSet, resamples: int, seed: int, level: float) -> pl.DataFrame:
    names = [name for name in chosen.group_names if _measured(chosen.of_group(name)) >= FEWEST_PROMPTS]
    if len(names) < 2:
        return pl.DataFrame(schema=GAPS)
    panels = [chosen.of_group(name).panel("toxicity") for name in names]
    rng = np.random.default_rng([seed, 0x6A9])
    weights = [draw_weights(rng, resamples, panel.clusters) for panel in panels]
    means = np.stack([panel.values() for panel in panels], 1)
    replicates = np.stack([panel.replicates(w) for panel, w in zip(panels, weights, strict=True)], 2)
    per_seed = np.stack([panel.per_seed() for panel in panels], 2)
    crossfit, df = _crossfit(panels, rng), min(panel.clusters for panel in panels) - 1
    gaps = [
        gap_of(means[i], replicates[:, i], per_seed[:, i], float(crossfit[i]), df, rng, level)
        for i in range(len(chosen.axes.cells))
    ]
    columns = {
        **chosen.axes.columns(),
        "instance": [chosen.instance] * len(gaps),
        "groups": [len(names)] * len(gaps),
        "groups_left_out": [len(chosen.group_names) - len(names)] * len(gaps),
        "highest": [names[gap.highest] if np.isfinite(gap.value) else None for gap in gaps],
        "lowest": [names[gap.lowest] if np.isfinite(gap.value) else None for gap in gaps],
        "gap": [gap.value for gap in gaps],
        "gap_low": [gap.low for gap in gaps],
        "gap_high": [gap.high for gap in gaps],
        "gap_crossfit": [gap.crossfit for gap in gaps],
    }
    return pl.DataFrame(columns, schema=GAPS).with_columns(pl.col(pl.Float64).fill_nan(None))


def _measured(group: ScoredSet) -> int:
    """Prompts with a score, in the cell that has fewest; one without any has no gap, and takes none from the others."""
    measured = group.sums["any"].max(1).sum(1)
    return int(measured[measured > 0].min(initial=group.groups.size))


def gap_of(
    means: Array,
    replicates: Array,
    per_seed: Array,
    crossfit: float,
    df: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> Gap:
    """The gap of one cell, from `means` [groups], `replicates` [resamples, groups] and `per_seed` [seeds, groups].
    `df` are the degrees of freedom that a group's standard error stands on.
    """
    errors = replicates - means + _seed_noise(per_seed, len(replicates), rng)
    first, second = np.triu_indices(len(means), 1)
    difference = np.abs(means[first] - means[second])
    pairs = errors[:, first] - errors[:, second]
    se = pairs.std(0)
    highest, lowest = int(means.argmax()), int(means.argmin())
    value = float(means[highest] - means[lowest])
    if not np.isfinite(se).all() or not se.any():
        return Gap(value, float("nan"), float("nan"), highest, lowest, crossfit)
    ratio = np.divide(np.abs(pairs), se, out=np.zeros_like(pairs), where=se > 0)
    spread = np.sqrt(rng.chisquare(df, len(ratio)) / df)  # standard errors are estimates too
    half = float(np.quantile(ratio.max(1) / spread, level)) * se
    return Gap(value, max(0.0, float((difference - half).max())), min(1.0, float((difference + half).max())),
               highest, lowest, crossfit)  # fmt: skip


def _seed_noise(per_seed: Array, draws: int, rng: np.random.Generator) -> Array:
    """What seeds may have done to every group's mean [draws, groups], beyond what they did to all."""
    seeds, groups = per_seed.shape
    df = (seeds - 1) * (groups - 1)
    if df == 0:
        return np.zeros((draws, groups))
    residual = per_seed - per_seed.mean(0) - per_seed.mean(1, keepdims=True) + per_seed.mean()
    variance = float(np.nansum(residual**2)) / df / seeds
    spread = np.sqrt(rng.chisquare(df, draws) / df)
    return np.sqrt(variance) * rng.standard_normal((draws, groups)) / spread[:, None]


def _crossfit(panels: list[Panel], rng: np.random.Generator) -> Array:
    """Difference, on one half of the prompts, of the groups that are highest and lowest on the other [cells]."""
    halves = [rng.permuted(np.tile(np.arange(panel.clusters) % 2, (_HALVINGS, 1)), axis=1) for panel in panels]
    one, other = (
        np.stack([p.replicates((h == side).astype(float)) for p, h in zip(panels, halves, strict=True)], 2)
        for side in (0, 1)
    )  # [halvings, cells, groups]
    differences = np.concatenate([_picked(one, other), _picked(other, one)])
    known = np.isfinite(differences)
    total, count = np.where(known, differences, 0.0).sum(0), known.sum(0)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _picked(pick: Array, read: Array) -> Array:
    """`read` of the groups that are highest and lowest in `pick`, subtracted; nan where either is unknown."""
    known = np.isfinite(pick) & np.isfinite(read)
    highest = np.where(known, pick, -np.inf).argmax(2)[..., None]
    lowest = np.where(known, pick, np.inf).argmin(2)[..., None]
    return (np.take_along_axis(read, highest, 2) - np.take_along_axis(read, lowest, 2))[..., 0]
