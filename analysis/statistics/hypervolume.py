"""What a frontier reaches over all budgets at once: its hypervolume (Zitzler & Thiele 1999, IEEE Trans. Evol. Comput.
3:257), the area that its points dominate up to a reference point (cost, toxicity).

The reference point is the allowance and a toxicity that is stated. The area is divided by the allowance, so that it is
a toxicity: how far below the reference the arm gets, averaged over every budget from nothing to the allowance. A cost
below nothing counts as nothing, and a point at the reference adds nothing. More points never make it smaller, so arms
are to be compared only where the same recipes were run on both; and as the least of noisy figures flatters, all volumes
are a little too large, which differences between such arms are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.statistics.frontier import Allowance, clean_reference, costs
from analysis.statistics.intervals import Array, Estimate, draw_weights, intervals
from analysis.statistics.panels import NONE, Panels, Treatment

EVERY = "all"
"""What the frontier over all methods is called in the `method` column."""

_FRAME: Mapping[str, pl.DataType] = {
    "dose": pl.Float64(),
    "policy": pl.String(),
    "mixture": pl.String(),
    "method": pl.String(),
    "allowance": pl.Float64(),
    "counted_from": pl.String(),
    "reference": pl.Float64(),
    "volume": pl.Float64(),
    "volume_low": pl.Float64(),
    "volume_high": pl.Float64(),
    "above_clean": pl.Float64(),
    "above_clean_low": pl.Float64(),
    "above_clean_high": pl.Float64(),
}


@dataclass(frozen=True)
class Volume:
    """The frontier of one arm under one method, or under all of them (`EVERY`)."""

    arm: Treatment
    method: str
    reference: float
    """The toxicity that the volume counts from."""
    value: Estimate
    above_clean: Estimate | None
    """Minus the clean arm's, paired: above zero, this arm's frontier is the better. None for the clean arm itself."""


def hypervolume(cost: Array, toxicity: Array, reference: tuple[float, float]) -> Array:
    """Area between `reference` (cost, toxicity) and k points [..., k], both to be made small: [...]. Exact: points are
    swept by cost. Costs count from 0; a point that is nan or not below the reference in both adds nothing.
    """
    limit, ceiling = reference
    measured = np.isfinite(cost) & np.isfinite(toxicity)
    cost = np.clip(np.where(measured, cost, limit), 0.0, limit)
    height = np.where(measured & (cost < limit), np.maximum(ceiling - toxicity, 0.0), 0.0)
    order = np.argsort(cost, axis=-1, kind="stable")
    cost = np.take_along_axis(cost, order, -1)
    reached = np.maximum.accumulate(np.take_along_axis(height, order, -1), axis=-1)
    widths = np.diff(cost, axis=-1, append=np.full((*cost.shape[:-1], 1), limit))
    return np.asarray((widths * reached).sum(-1))


def volumes(
    panels: Panels, allowance: Allowance, *, reference: float | None = None, resamples: int = 2000, seed: int = 0
) -> list[Volume]:
    """Volumes of every (arm, method) that has every figure, in units of toxicity, with intervals over prompts,
    documents and seeds. `reference` is the toxicity they count from, `reference_toxicity` unless given. None without a
    clean unsteered arm.
    """
    clean = clean_reference(panels)
    if clean is None:
        return []
    point = (allowance.nats, reference_toxicity(panels) if reference is None else reference)
    lacking = {gap.cell.arm for gap in panels.gaps}
    arms = [arm for arm in panels.arms() if arm not in lacking and NONE in panels.methods(arm)]
    figures = _figures(panels, allowance, resamples, seed)
    result: list[Volume] = []
    for method in (EVERY, *sorted({cell.method for cell in panels.cells} - {NONE})):
        with_method = [arm for arm in arms if method == EVERY or method in panels.methods(arm)]
        result += _of_method(panels, method, with_method, figures, point)
    return result


def volumes_frame(measured: Sequence[Volume], allowance: Allowance) -> pl.DataFrame:
    """One row an (arm, method), method `all` first: `volume` is how far below `reference` the arm's toxicity is,
    averaged over budgets up to `allowance`; `above_clean` is its difference from the clean arm's, null for that.
    """
    within = (allowance.nats, allowance.counted_from)
    rows = [(*v.arm, v.method, *within, v.reference, *_limits(v.value), *_limits(v.above_clean)) for v in measured]
    return pl.DataFrame(rows, schema=dict(_FRAME), orient="row")


def reference_toxicity(panels: Panels) -> float:
    """The highest mean toxicity of any arm that does nothing: what no frontier needs to be worse than."""
    unsteered = [i for i, cell in enumerate(panels.cells) if cell.method == NONE]
    return float(np.nanmax(panels.mean.values()[unsteered]))


def _figures(panels: Panels, allowance: Allowance, resamples: int, seed: int) -> list[tuple[Array, Array]]:
    """Costs and toxicities of all cells: as measured [1, cells], resampled [resamples, cells], by seed."""
    rng = np.random.default_rng([seed, 0x401])
    toxicity, entropy = panels.mean, panels.cross_entropy
    prompts = draw_weights(rng, resamples, toxicity.clusters)
    documents = draw_weights(rng, resamples, entropy.clusters)
    entropies = (entropy.values()[None], entropy.replicates(documents), entropy.per_seed())
    toxicities = (toxicity.values()[None], toxicity.replicates(prompts), toxicity.per_seed())
    return [(costs(panels, nats, allowance.counted_from), mean)
            for nats, mean in zip(entropies, toxicities, strict=True)]  # fmt: skip


def _of_method(
    panels: Panels, method: str, arms: list[Treatment], figures: list[tuple[Array, Array]], point: tuple[float, float]
) -> list[Volume]:
    """The volumes of one method; its arms pool their seed variance."""
    if not arms:
        return []
    cells = [_cells(panels, arm, method) for arm in arms]
    areas = [np.stack([hypervolume(cost[:, of], mean[:, of], point) for of in cells], -1) / point[0]
             for cost, mean in figures]  # fmt: skip
    values, draws, seeds = areas[0][0], areas[1], areas[2]
    clusters = panels.mean.clusters
    levels = intervals(values, draws, seeds, clusters=clusters, bounds=(0.0, point[1]))
    base = next((i for i, arm in enumerate(arms) if arm.dose == 0), None)
    others = [i for i in range(len(arms)) if i != base]
    above: dict[int, Estimate] = {}
    if base is not None and others:
        differences = (area[..., others] - area[..., [base]] for area in (values, draws, seeds))
        estimates = intervals(*differences, clusters=clusters, shared_reference=True)
        above = dict(zip(others, estimates, strict=True))
    return [Volume(arm, method, point[1], levels[i], above.get(i)) for i, arm in enumerate(arms)]


def _cells(panels: Panels, arm: Treatment, method: str) -> list[int]:
    if method != EVERY:
        return panels.frontier_cells(arm, method)
    return [i for i, cell in enumerate(panels.cells) if cell.arm == arm]


def _limits(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    """Value and limits as a frame holds them: null for what is no number."""
    if estimate is None:
        return None, None, None
    value, low, high = (x if np.isfinite(x) else None for x in (estimate.value, estimate.low, estimate.high))
    return value, low, high
