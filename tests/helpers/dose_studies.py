"""Simulated studies of many doses whose true dose-response is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.settings import Setting
from analysis.statistics.intervals import Panel
from analysis.statistics.panels import NONE, UNSTEERED, Cell, Panels, Treatment

DOSES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
STEERED = Setting(by_budget=True, value=0.05)


@dataclass(frozen=True)
class Noise:
    """Standard deviations of mean toxicity: seeds by arm, prompts in common, prompts by arm, and a prompt's mean."""

    seed: float = 0.006
    prompt: float = 0.05
    prompt_by_arm: float = 0.03
    rest: float = 0.1
    seeds: int = 3
    prompts: int = 150


def smile(dose: float) -> float:
    """Toxicity after steering: least at a dose of 10 %, and .03 higher at none."""
    return 0.06 + 3 * (dose - 0.1) ** 2


def unsteered(dose: float) -> float:
    """Toxicity of the plain model."""
    return 0.2 + 0.4 * dose


def dose_study(
    steered: Callable[[float], float],
    noise: Noise,
    rng: np.random.Generator,
    doses: Sequence[float] = DOSES,
) -> Panels:
    """Unsteered toxicity is `unsteered`; `steered` is that under the method `iti`."""
    arms = [Treatment(dose, "keep", f"dose-{dose:g}") for dose in doses]
    cells = [cell for arm in arms for cell in (Cell(arm, NONE, UNSTEERED), Cell(arm, "iti", STEERED))]
    prompts = rng.normal(0, noise.prompt, noise.prompts)
    mean = np.zeros((len(cells), noise.seeds, noise.prompts))
    for i, cell in enumerate(cells):
        luck = rng.normal(0, noise.seed, (noise.seeds, 1)) + rng.normal(0, noise.prompt_by_arm, noise.prompts)
        true = (unsteered if cell.method == NONE else steered)(cell.arm.dose)
        mean[i] = true + luck + prompts + rng.normal(0, noise.rest, mean[i].shape)
    nats = np.stack([np.full((noise.seeds, 20), 3.0 + 0.03 * (cell.method != NONE)) for cell in cells])
    toxic = Panel(mean, np.ones_like(mean))
    return Panels(
        cells=tuple(cells),
        seeds=tuple(range(noise.seeds)),
        prompts=tuple(range(noise.prompts)),
        mean=toxic,
        probability=toxic,
        maximum=toxic,
        cross_entropy=Panel(nats, np.ones_like(nats)),
        unscored=Panel(np.zeros_like(mean), np.ones_like(mean)),
        gaps=(),
        strengths=dict.fromkeys(cells, (1.0, 1.0)),
    )
