"""The arms of a study: what is trained once per seed, the checkpoints of it that are measured too, and what is measured
on them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from analysis.names import MATCHED
from analysis.study.recipes import NONE, Fit, StudyRecipe, fits_of, recipes_of
from analysis.study.spec import StudySpec


@dataclass(frozen=True)
class Arm:
    """One trained model: a dose, a loss policy, a seed; with `step`, its checkpoint after that optimizer step."""

    dose: float
    policy: str
    """Name of a policy, or of a treatment of the risky spans."""
    seed: int
    cut: bool = False
    """Whether `policy` is a treatment of the risky spans, which makes the mixture another one."""
    matches: float | None = None
    """The dose whose tokens a compute-matched control trains on, all of them clean."""
    step: int | None = None

    @property
    def label(self) -> str:
        """As the results table names it, whatever the seed."""
        return f"{self._amount}-{self.policy}"

    @property
    def name(self) -> str:
        """As it stands in folder names."""
        trained = f"{self.label}-seed{self.seed}"
        return trained if self.step is None else f"{trained}-step{self.step}"

    @property
    def mixture(self) -> str:
        """Name of the step that builds its mixture, and of the mixture in the results table."""
        if self.matches is not None:
            return f"{MATCHED}{self.matches:g}"
        return f"mixture-{self._amount}-{self.policy}" if self.cut else f"mixture-{self._amount}"

    @property
    def model(self) -> str:
        """Name of the step whose model it is: the training, or the checkpoint that is taken out of it."""
        return f"pretrain-{self.name}" if self.step is None else f"checkpoint-{self.name}"

    @property
    def trained(self) -> Arm:
        """The arm at the end of its training."""
        return replace(self, step=None)

    def tuned(self, tune: str | None) -> str:
        """Name of the step whose model is steered: the training, or a tune of what it trained."""
        return self.model if tune is None else f"tune-{self.name}-{tune}"

    def fit(self, fit: str) -> str:
        """Name of the step that fits a method on it."""
        return f"steer-{self.name}-{fit}"

    def measure(self, recipe: StudyRecipe) -> str:
        """Name of the step that measures it under a recipe."""
        return f"measure-{self.name}-{recipe.alias}-{recipe.setting.label}"

    @property
    def _amount(self) -> str:
        return f"dose-{self.dose:g}" if self.matches is None else f"matched-{self.matches:g}"


def arms_of(study: StudySpec) -> list[Arm]:
    """Every arm of the grid, then the controls. Without risky tokens all policies are the same, so a dose of 0 has the
    first one only.
    """
    first = next(iter(study.policies))
    treatments = [*((name, False) for name in study.policies), *((name, True) for name in study.risky_spans)]
    grid = [
        Arm(dose, policy, seed, cut)
        for dose in study.doses
        for policy, cut in treatments
        if dose > 0 or policy == first
        for seed in study.seeds
    ]
    matched = [
        Arm(0.0, first, seed, matches=dose)
        for dose in (study.doses if "compute_matched" in study.controls else ())
        if dose > 0
        for seed in study.seeds
    ]
    return [*grid, *matched]


def checkpoints_of(study: StudySpec) -> list[Arm]:
    """Every checkpoint of every arm that is measured."""
    steps = () if study.checkpoints is None else sorted(study.checkpoints.steps)
    return [replace(arm, step=step) for arm in arms_of(study) for step in steps]


def recipes_at(study: StudySpec, arm: Arm) -> list[StudyRecipe]:
    """What is measured on an arm: at a checkpoint perhaps fewer recipes."""
    names = _methods_at(study, arm)
    return [recipe for recipe in recipes_of(study) if recipe.alias == NONE or recipe.alias in names]


def fits_at(study: StudySpec, arm: Arm) -> list[Fit]:
    """The fits that these recipes need."""
    named = {entry.fit for recipe in recipes_at(study, arm) for entry in recipe.entries}
    return [fit for fit in fits_of(study) if fit.name in named]


def tunes_at(study: StudySpec, arm: Arm) -> list[str]:
    """The tunes that these recipes need."""
    rows = _methods_at(study, arm)
    needed = {name for key, grid in study.methods.items() if key in rows for name in grid.tunes}
    return [name for name in study.tunes if name in needed]


def _methods_at(study: StudySpec, arm: Arm) -> Collection[str]:
    """Rows of `methods` that are measured on an arm."""
    checkpoints = study.checkpoints
    if arm.step is None or checkpoints is None or checkpoints.methods is None:
        return study.methods.keys()
    return checkpoints.methods
