"""The report's frames of what is fitted to a study's results: curves, optimum doses, how stable the choice is, volumes.

All are empty, with their columns, where there is no clean unsteered arm. Schemas are beside the estimators.
"""

from __future__ import annotations

import polars as pl

from analysis.statistics.curves import Curve, curves_frame, fit_curves, optima_frame
from analysis.statistics.dose_response import dose_response
from analysis.statistics.frontier import Allowance
from analysis.statistics.hypervolume import volumes, volumes_frame
from analysis.statistics.panels import Panels
from analysis.statistics.stability import stability, stability_frame


def curves_table(panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """Fitted mean toxicity by method, policy and dose on a fine grid, with its band (`curves.curves_frame`)."""
    return curves_frame(_curves(panels, allowance, resamples, seed))


def optima_table(panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """The dose of least toxicity by method and policy, and whether the data tell it (`curves.optima_frame`)."""
    return optima_frame(_curves(panels, allowance, resamples, seed))


def stability_table(panels: Panels, allowance: Allowance, *, seed: int = 0) -> pl.DataFrame:
    """Recipes by the share of the resamples that name them (`stability.stability_frame`)."""
    return stability_frame(stability(panels, allowance, seed=seed))


def hypervolume_table(panels: Panels, allowance: Allowance, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """What frontiers reach over all budgets, by arm and method (`hypervolume.volumes_frame`)."""
    return volumes_frame(volumes(panels, allowance, resamples=resamples, seed=seed), allowance)


def _curves(panels: Panels, allowance: Allowance, resamples: int, seed: int) -> list[Curve]:
    points = dose_response(panels, allowance, resamples=resamples, seed=seed)
    return fit_curves(points, panels, resamples=resamples, seed=seed)
