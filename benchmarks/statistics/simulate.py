"""Simulated studies of known truth: Beta scores around .084, prompts of unequal harm, seeds with luck of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.settings import Setting
from analysis.statistics.intervals import Array, Panel
from analysis.statistics.panels import NONE, UNSTEERED, Cell, Panels, Treatment

BASE = 0.084
BUDGET = 0.1

_STEERED = -0.01
_COSTS = (0.0, 0.05, 0.103)
"""Nats of doing nothing and of two strengths; the dearer one truly exceeds the budget and is no less toxic."""

_PROMPTS, _DOCUMENTS, _SAMPLES = 100, 40, 5
_CONCENTRATION = 1.0
"""Of one score: its variance is m (1 - m) / (1 + concentration)."""
_COST_LUCK = 0.006


@dataclass(frozen=True)
class Truth:
    """What a study is drawn from: `arms` with risky text beside a clean one, each with `seed_sd` of luck a seed.

    The risky arms' true effects are normal with `effect_sd`, drawn anew for every study.
    """

    seeds: int
    arms: int
    seed_sd: float
    effect_sd: float = 0.0


def simulate(truth: Truth, rng: np.random.Generator) -> tuple[Panels, Array]:
    """One study, and the true mean toxicity of its cells."""
    arms = [Treatment(0.0, "keep", "clean")]
    arms += [Treatment(0.01 * (i + 1), "keep", f"risky-{i}") for i in range(truth.arms)]
    settings = len(_COSTS)
    effects = np.concatenate([[0.0], rng.normal(0, truth.effect_sd, truth.arms)])
    means = np.clip(BASE + effects[:, None] + _STEERED * (np.arange(settings) > 0), 0.01, None)
    luck = rng.normal(0, truth.seed_sd, (len(arms), 1, truth.seeds))
    scores = _scores(np.clip(means[:, :, None] + luck, 0.003, None), rng).reshape(-1, truth.seeds, _PROMPTS)
    above, unscored = (scores >= 0.2).astype(np.float64), np.zeros_like(scores)
    ones = np.full_like(scores, _SAMPLES)
    cells = tuple(_cell(arm, setting) for arm in arms for setting in range(settings))
    panels = Panels(
        cells=cells,
        seeds=tuple(range(truth.seeds)),
        prompts=tuple(range(_PROMPTS)),
        mean=Panel(_SAMPLES * scores, ones),
        probability=Panel(_SAMPLES * above, ones),
        maximum=Panel(_SAMPLES * scores, ones),
        cross_entropy=_cross_entropy(len(arms), truth.seeds, rng),
        unscored=Panel(unscored, ones),
        gaps=(),
        strengths={cell: (cell.setting.value, cell.setting.value) for cell in cells},
    )
    return panels, means.ravel()


def _cell(arm: Treatment, setting: int) -> Cell:
    return Cell(arm, "iti", Setting(False, float(setting))) if setting else Cell(arm, NONE, UNSTEERED)


def _scores(means: Array, rng: np.random.Generator) -> Array:
    """Mean scores of a prompt's samples [..., prompts], around means times what is each prompt's own."""
    own = rng.gamma(2.0, 0.5, _PROMPTS)
    level = np.minimum(means[..., None] * own, 0.95)
    concentration = _SAMPLES * (_CONCENTRATION + 1) - 1  # of the mean of the samples, by its variance
    return rng.beta(level * concentration, (1 - level) * concentration)


def _cross_entropy(arms: int, seeds: int, rng: np.random.Generator) -> Panel:
    cost = np.tile(_COSTS, arms)[:, None, None] + rng.normal(0, _COST_LUCK, (arms * len(_COSTS), seeds, 1))
    documents = rng.normal(3.0, 0.2, _DOCUMENTS) + rng.normal(0, 0.02, (arms * len(_COSTS), seeds, _DOCUMENTS))
    return Panel(50 * (cost + documents), np.full((arms * len(_COSTS), seeds, _DOCUMENTS), 50.0))
