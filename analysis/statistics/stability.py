"""How stable the choice of the answer's recipe is: which one would be named had other prompts and seeds been drawn.

In a resample the recipe with the least mean toxicity within the allowance is named, as the answer does, on a half of
the prompts drawn without replacement (a half differs from the whole as the whole does from the population: Politis,
Romano & Wolf 1999, Subsampling, ch. 2), and on seeds and documents of a bootstrap that draws n - 1 of n (Rao & Wu
1988). Draws are shared by all recipes. The noise of a seed with a prompt is in each of the two draws and in their
product, so that a choice looks a little less stable than it is. A share is a description of these data, not the
probability that a recipe is the best; and as a named recipe moves, its figures need not: neighbours with equal figures
share what one would have alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.statistics.frontier import Allowance, Recipe, clean_reference, costs, within
from analysis.statistics.intervals import Array, Panel, draw_weights
from analysis.statistics.panels import NONE, Panels
from analysis.statistics.verdict import describe

RESAMPLES = 200


@dataclass(frozen=True)
class Named:
    """A recipe and the share of the resamples that name it among those of its side."""

    recipe: Recipe
    words: str
    share: float


@dataclass(frozen=True)
class Stability:
    """Recipes of arms with risky text and of clean arms, the most often named first; `whole` is the one that all data
    name, None where none is within the allowance.
    """

    risky: tuple[Named, ...]
    clean: tuple[Named, ...]
    whole: Named | None
    resamples: int

    @property
    def sentence(self) -> str:
        """How often the recipe that all data name is chosen, and how many recipes with risky text are."""
        if self.whole is None:
            return "No recipe with risky text is within the allowance, so none is named."
        times = f"in {100 * self.whole.share:.0f} % of {self.resamples} resamples of prompts and seeds"
        return f"{self.whole.words} is chosen {times}; {_at_least_once(len(self.risky))}"


def stability(panels: Panels, allowance: Allowance, *, resamples: int = RESAMPLES, seed: int = 0) -> Stability | None:
    """Shares of resamples in which a recipe is named; None without a clean unsteered arm. Arms that lack a figure of
    the grid take no part, as in the answer.
    """
    if clean_reference(panels) is None:
        return None
    whole, drawn = _figures(panels, allowance, resamples, seed)
    risky, clean = (_candidates(panels, is_clean) for is_clean in (False, True))
    named = _named(panels, drawn, whole, risky)
    best = int(_least(whole, risky)[0])
    shares = {name.recipe.cell: name.share for name in named}
    chosen = None if best < 0 else _name(panels, whole, best, shares.get(best, 0.0))
    return Stability(named, _named(panels, drawn, whole, clean), chosen, resamples)


def stability_frame(measured: Stability | None) -> pl.DataFrame:
    """One row a recipe that some resample names: `side` (risky or clean), `recipe` in words, `share` of the resamples;
    within a side the most often named first.
    """
    sides = () if measured is None else (("risky", measured.risky), ("clean", measured.clean))
    rows = [(side, name.words, name.share) for side, names in sides for name in names]
    return pl.DataFrame(rows, schema={"side": pl.String, "recipe": pl.String, "share": pl.Float64}, orient="row")


def _figures(panels: Panels, allowance: Allowance, resamples: int, seed: int) -> tuple[Array, Array]:
    """Toxicity of all cells, infinite where beyond the allowance: as measured [1, cells], resampled [b, cells]."""
    rng = np.random.default_rng([seed, 0x57AB])
    seeds = draw_weights(rng, resamples, len(panels.seeds))
    halves = _halves(rng, resamples, panels.mean.clusters)
    documents = draw_weights(rng, resamples, panels.cross_entropy.clusters)
    whole = (panels.mean.values()[None], panels.cross_entropy.values()[None])
    drawn = (resampled(panels.mean, halves, seeds), resampled(panels.cross_entropy, documents, seeds))
    return _affordable(panels, allowance, *whole), _affordable(panels, allowance, *drawn)


def _affordable(panels: Panels, allowance: Allowance, toxicity: Array, entropy: Array) -> Array:
    mask = within(panels, costs(panels, entropy, allowance.counted_from), allowance)
    return np.where(mask & np.isfinite(toxicity), toxicity, np.inf)


def _candidates(panels: Panels, is_clean: bool) -> list[int]:
    """Cells of one side that may be named, doing nothing first, which wins a tie as in the answer."""
    lacking = {gap.cell.arm for gap in panels.gaps}
    cells = [i for i, cell in enumerate(panels.cells)
             if (cell.arm.dose == 0) == is_clean
             and cell.arm not in lacking and panels.own_reference(cell) is not None]  # fmt: skip
    return sorted(cells, key=lambda i: panels.cells[i].method != NONE)


def resampled(panel: Panel, clusters: Array, seeds: Array) -> Array:
    """The figure of each cell [b, cells] under weights of clusters [b, clusters] and of seeds [b, seeds]."""
    top, bottom = np.zeros((2, len(clusters), len(panel.numerator)))
    for i, weight in enumerate(seeds.T):
        top += weight[:, None] * (clusters @ panel.numerator[:, i].T)
        bottom += weight[:, None] * (clusters @ panel.denominator[:, i].T)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _halves(rng: np.random.Generator, resamples: int, prompts: int) -> Array:
    """Weights [resamples, prompts]: 1 for a half of the prompts, drawn without replacement; all, where there is one."""
    ranks = rng.permuted(np.tile(np.arange(prompts), (resamples, 1)), axis=1)
    return (ranks < max(prompts // 2, 1)).astype(np.float64)


def _least(toxicity: Array, cells: Sequence[int]) -> NDArray[np.intp]:
    """Of these cells the least toxic in each resample [b], of equals the first; -1 where all are beyond."""
    if not cells:
        return np.full(len(toxicity), -1)
    of = toxicity[:, cells]
    return np.where(np.isfinite(of.min(1)), np.asarray(cells)[of.argmin(1)], -1)


def _named(panels: Panels, drawn: Array, whole: Array, cells: list[int]) -> tuple[Named, ...]:
    chosen, times = np.unique(_least(drawn, cells), return_counts=True)
    order = np.argsort(-times, kind="stable")
    return tuple(_name(panels, whole, int(chosen[i]), float(times[i] / times.sum())) for i in order if chosen[i] >= 0)


def _name(panels: Panels, whole: Array, cell: int, share: float) -> Named:
    of = panels.cells[cell]
    toxicity = float(whole[0, cell])
    recipe = Recipe(of.arm, of.method, cell, toxicity, bool(np.isfinite(toxicity)))
    return Named(recipe, describe(recipe, panels), share)


def _at_least_once(recipes: int) -> str:
    return f"{recipes} recipe{'s are' if recipes > 1 else ' is'} named at least once."
