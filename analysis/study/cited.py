"""What a study sets beside published figures must be something that it measures. Light to import."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from analysis.published import OursSpec, Published
from analysis.study.grid import RecipeGrid
from infra.config.faults import nearest

NONE = "none"


def check_ours(
    published: Published,
    doses: Collection[float],
    policies: Collection[str],
    methods: Mapping[str, RecipeGrid],
    controls: Collection[str],
) -> None:
    """Raises ValueError naming the first figure that the study does not measure. A paper's table may have doses that
    the study leaves out: nothing of ours stands there then.
    """
    if other := [ours.dose for ours in published.compared() if ours.dose not in doses]:
        raise ValueError(f"published: {other[0]:g} is not among `doses`")
    for ours in (*published.compared(), *published.beside()):
        reason = _missing_arm(ours, policies, controls) or _missing_recipe(ours, methods)
        if reason:
            raise ValueError(f"published: {reason}")


def _missing_arm(ours: OursSpec, policies: Collection[str], controls: Collection[str]) -> str | None:
    if ours.matched and ("compute_matched" not in controls or ours.dose == 0):
        return f"no compute-matched control of dose {ours.dose:g}; see `controls`"
    if ours.dose > 0 and ours.policy not in policies:
        return f"no policy {ours.policy!r}{nearest(ours.policy, policies)}"
    return None


def _missing_recipe(ours: OursSpec, methods: Mapping[str, RecipeGrid]) -> str | None:
    if ours.method == NONE:
        return None
    if ours.method not in methods:
        return f"no {ours.method!r} among `methods`{nearest(ours.method, methods)}"
    grid = methods[ours.method]
    if ours.budget is not None:
        return None if ours.budget in grid.budgets else f"{ours.method} is not measured at budget {ours.budget:g}"
    if ours.strength is not None:
        return None if ours.strength in grid.strengths else f"{ours.method} is not measured at {ours.strength:g}"
    one = len(grid.budgets) + len(grid.strengths) == 1
    return None if one else f"{ours.method} is measured at several settings; say which: `budget` or `strength`"
