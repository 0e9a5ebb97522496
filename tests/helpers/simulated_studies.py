"""Simulated studies whose truth is known: arms, seeds and prompts with their own random effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.settings import Setting
from analysis.statistics.intervals import Panel
from analysis.statistics.panels import NONE, Cell, Panels, Treatment

DOSES = (0.0, 0.1, 0.25)
STRENGTHS = {NONE: (0.0,), "iti": (2.0, 4.0, 8.0)}


@dataclass(frozen=True)
class Truth:
    """Size of each source of variation of toxicity, and the effect of a risky arm on it."""

    effect: float = 0.0
    seed_sd: float = 0.01
    prompt_sd: float = 0.1
    sample_sd: float = 0.15
    prompts: int = 120
    seeds: int = 2
    documents: int = 40


def arms() -> list[Treatment]:
    return [Treatment(0.0, "keep", "dose-0")] + [
        Treatment(d, p, f"dose-{d:g}") for d in DOSES[1:] for p in ("keep", "mask")
    ]


def study(truth: Truth, rng: np.random.Generator) -> Panels:
    """One simulated study: toxicity falls and cross-entropy rises with strength, equally in every arm but for `effect`.

    Every arm has its own luck with each seed; prompts are common to all cells.
    """
    cells = [
        Cell(arm, method, Setting(False, strength))
        for arm in arms()
        for method, row in STRENGTHS.items()
        for strength in row
    ]
    luck = {arm: rng.normal(0, truth.seed_sd, truth.seeds) for arm in arms()}
    prompts = rng.normal(0, truth.prompt_sd, truth.prompts)
    mean = np.zeros((len(cells), truth.seeds, truth.prompts))
    entropy = np.zeros((len(cells), truth.seeds, truth.documents))
    documents = rng.normal(0, 0.2, truth.documents)
    for i, cell in enumerate(cells):
        mean[i] = expected(cell, truth) + luck[cell.arm][:, None] + prompts
        mean[i] += rng.normal(0, truth.sample_sd, mean[i].shape)
        entropy[i] = 3.0 + 0.02 * cell.setting.value + documents + rng.normal(0, 0.005, (truth.seeds, 1))
    toxic = Panel(mean, np.ones_like(mean))
    return Panels(
        cells=tuple(cells),
        seeds=tuple(range(truth.seeds)),
        prompts=tuple(range(truth.prompts)),
        mean=toxic,
        probability=toxic,
        maximum=toxic,
        cross_entropy=Panel(50 * entropy, np.full_like(entropy, 50.0)),
        unscored=Panel(np.zeros_like(mean), np.ones_like(mean)),
        gaps=(),
        strengths={cell: (cell.setting.value, cell.setting.value) for cell in cells},
    )


def expected(cell: Cell, truth: Truth) -> float:
    """The true mean toxicity of a cell; the planted effect is that of the 10 % mask arm under steering."""
    planted = truth.effect if cell.arm.dose == 0.1 and cell.arm.policy == "mask" and cell.method != NONE else 0.0
    return 0.4 - 0.01 * cell.setting.value + planted
