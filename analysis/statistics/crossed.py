"""Variance of a study's figures, whose seeds and prompts are crossed: every seed answers every prompt.

A figure under seed s on prompt p is mu + a_s + b_p + e_sp. The mean over S seeds and P prompts then has the variance

    var a / S + var b / P + var e / (S P)

The spread of the seeds' means estimates the first term plus the third, the spread of the prompts' means the second plus
the third; adding both counts the interaction e twice. It is taken out of the seeds' part here, by the method of moments
(Searle, Casella & McCulloch 1992, Variance Components, ch. 4). Ratios of sums enter by their influence values.

**Seeds are few**, so their part is pooled over arms: how figures of one arm vary together over seeds, at one setting
and between settings, is estimated from all arms after what is common to them under a seed is taken off, with
(arms - 1)(seeds - 1) degrees of freedom. An arm whose own seeds differ more than chance allows (F test at
HETEROGENEOUS) stands on its own variance and its own degrees of freedom.

Degrees of freedom of the sum are Satterthwaite's (1946, Biometrics Bulletin 2:110); those of the seeds' part count
where it exceeds the interaction, else the clusters' part is the whole and lends its own. With one seed only the
clusters' part is there: it speaks of these very models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from analysis.statistics.intervals import HETEROGENEOUS, Array, Panel


@dataclass(frozen=True)
class Clusters:
    """A panel's figures [cells] and what each cluster adds to their error [cells, clusters]."""

    values: Array
    influence: Array


@dataclass(frozen=True)
class Seeds:
    """Covariance between seeds of all panels' figures within one arm [panels x settings], for means over the seeds."""

    gross: Array
    """With the interaction."""
    net: Array
    """Without it."""
    scale: Array
    """Factor of each arm [arms]: 1, or how much more its seeds differ than the others'."""
    pooled_df: float
    own_df: float


@dataclass(frozen=True)
class Crossed:
    """Several figures of the same arms x settings, with everything that their errors have in common.

    Cells are counted arm by arm: cell = arm x settings + setting.
    """

    arms: int
    settings: int
    panels: tuple[Clusters, ...]
    seeds: Seeds

    def draws(self, rng: np.random.Generator, groups: Sequence[int], count: int) -> list[Array]:
        """Errors as large as those of the figures [count, cells] of every panel, jointly normal, of mean 0.

        Panels of the same number in `groups` share their clusters, hence their luck with these.
        """
        values, vectors = np.linalg.eigh(self.seeds.net)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        root = root[:, values > 1e-12 * max(values[-1], 1e-300)]
        luck = (rng.standard_normal((count * self.arms, root.shape[1])) @ root.T).reshape(count, self.arms, -1)
        luck *= np.sqrt(self.seeds.scale)[:, None]
        multipliers: dict[int, Array] = {}
        errors = []
        for i, (panel, group) in enumerate(zip(self.panels, groups, strict=True)):
            clusters = panel.influence.shape[1]
            if group not in multipliers:
                multipliers[group] = rng.standard_normal((count, clusters)) * np.sqrt(_unbiased(clusters))
            error = multipliers[group] @ panel.influence.T + luck[:, :, self._columns(i)].reshape(count, -1)
            errors.append(error - error.mean(0))
        return errors

    def variances(self, panel: int, contrasts: Array) -> tuple[Array, Array]:
        """Variance of each contrast [n, cells] of a panel's figures, and its degrees of freedom; nan of one cluster."""
        clusters = self.panels[panel].influence.shape[1]
        if clusters < 2:
            return np.full(len(contrasts), np.nan), np.ones(len(contrasts))
        within = ((contrasts @ self.panels[panel].influence) ** 2).sum(1) * _unbiased(clusters)
        by_arm = contrasts.reshape(len(contrasts), self.arms, self.settings)
        columns = self._columns(panel)
        net, gross = (
            np.einsum("nak,kl,nal->na", by_arm, part[columns, columns], by_arm) * self.seeds.scale
            for part in (self.seeds.net, self.seeds.gross)
        )
        gross = np.where(net > 0, gross, 0.0)  # no more than the interaction: the clusters' part tells it all
        own = self.seeds.scale > 1
        uncertainty = within**2 / (clusters - 1)
        if self.seeds.pooled_df > 0:
            uncertainty += gross[:, ~own].sum(1) ** 2 / self.seeds.pooled_df
            uncertainty += (gross[:, own] ** 2).sum(1) / self.seeds.own_df
        total = within + net.sum(1)
        df = np.divide(total**2, uncertainty, out=np.full_like(total, clusters - 1), where=uncertainty > 0)
        return total, np.clip(df, 1, None)

    def _columns(self, panel: int) -> slice:
        return slice(panel * self.settings, (panel + 1) * self.settings)


def crossed(panels: Sequence[Panel], grid: NDArray[np.intp]) -> Crossed:
    """The errors of several panels over the cells of a grid [arms, settings], each cell with all its seeds."""
    arms, settings = grid.shape
    influences = [panel.influence()[grid] for panel in panels]
    clusters = [
        Clusters(panel.values()[grid.ravel()], influence.sum(2).reshape(arms * settings, -1))
        for panel, influence in zip(panels, influences, strict=True)
    ]
    return Crossed(arms, settings, tuple(clusters), _seeds(influences))


def _seeds(influences: Sequence[Array]) -> Seeds:
    arms, _, seeds, _ = influences[0].shape
    own_df, pooled_df = seeds - 1, (arms - 1) * (seeds - 1)
    if pooled_df == 0:
        width = sum(influence.shape[1] for influence in influences)
        return Seeds(np.zeros((width, width)), np.zeros((width, width)), np.ones(arms), 0, 0)
    by_seed = np.concatenate([_apart(seeds * influence.sum(3)) for influence in influences], axis=1)
    gross = np.einsum("aks,als->kl", by_seed, by_seed) / (pooled_df * seeds)
    interaction = np.concatenate([_interaction(influence) for influence in influences])
    pooled = np.diag(gross)
    share = np.divide(interaction, pooled, out=np.ones_like(pooled), where=pooled > 0)
    left = np.sqrt(np.clip(1 - share, 0, 1))
    own = (by_seed**2).sum(2) * arms / (pooled_df * seeds)
    settings = influences[0].shape[1]  # how much arms differ is told by the first panel
    ratio = np.divide(own, pooled, out=np.ones_like(own), where=pooled > 0)[:, :settings].mean(1)
    scale = np.where(ratio > fisher.isf(HETEROGENEOUS, own_df, pooled_df), ratio, 1.0)
    return Seeds(gross, gross * np.outer(left, left), scale, pooled_df, own_df)


def _interaction(influence: Array) -> Array:
    """Variance that seed and cluster together, beyond either alone, leave in the mean over both [settings]."""
    arms, _, seeds, clusters = influence.shape
    if clusters == 1:
        return np.zeros(influence.shape[1])
    left = influence - influence.mean(3, keepdims=True) - influence.mean(2, keepdims=True)
    squares = (_apart(left) ** 2).sum((0, 2, 3)) / (arms - 1)
    share: Array = squares * seeds * clusters / ((seeds - 1) * (clusters - 1))
    return share


def _unbiased(clusters: int) -> float:
    """What makes the spread of a mean over clusters unbiased; of one cluster there is no spread."""
    return clusters / (clusters - 1) if clusters > 1 else 0.0


def _apart(figures: Array) -> Array:
    """What of figures [arms, ...] is not common to all arms."""
    return figures - figures.mean(0)
