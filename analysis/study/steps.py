"""A study as a list of steps: which stage, on which artifacts, with which specification; each distinct step once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.spec import ArmSpec
from analysis.study.recipes import Fit, StudyRecipe, fits_of, recipes_of
from analysis.study.spec import StudySpec
from infra.config.spec import Spec
from mixtures.spec.mixture import MixtureSpec, with_dose
from posttrain.spec import PosttrainSpec
from posttrain.tuning.spec import on_mixture

Paths = Mapping[str, Path]
"""Step name -> folder of its artifact."""


@dataclass(frozen=True)
class StudyStep:
    """One unit of work. `make` gives its specification once the artifacts of `needs` are there."""

    name: str
    kind: str
    needs: tuple[str, ...]
    make: Callable[[Paths], Spec]


@dataclass(frozen=True)
class Arm:
    """One trained model: a dose, a loss policy, a seed."""

    dose: float
    policy: str
    seed: int

    @property
    def name(self) -> str:
        """As it stands in folder names and tables."""
        return f"dose-{self.dose:g}-{self.policy}-seed{self.seed}"

    @property
    def mixture(self) -> str:
        """Name of the step that builds its mixture."""
        return f"mixture-dose-{self.dose:g}"

    @property
    def model(self) -> str:
        """Name of the step that trains it."""
        return f"pretrain-{self.name}"

    def tuned(self, tune: str | None) -> str:
        """Name of the step whose model is steered: the training, or a tune of what it trained."""
        return self.model if tune is None else f"tune-{self.name}-{tune}"

    def fit(self, fit: str) -> str:
        """Name of the step that fits a method on it."""
        return f"steer-{self.name}-{fit}"

    def measure(self, recipe: StudyRecipe) -> str:
        """Name of the step that measures it under a recipe."""
        return f"measure-{self.name}-{recipe.alias}-{recipe.setting.label}"


def arms_of(study: StudySpec) -> list[Arm]:
    """Every arm of the grid. Without risky tokens all policies are the same, so a dose of 0 has the first one only."""
    first = next(iter(study.policies))
    return [
        Arm(dose, policy, seed)
        for dose in study.doses
        for policy in study.policies
        if dose > 0 or policy == first
        for seed in study.seeds
    ]


def steps_of(study: StudySpec) -> list[StudyStep]:
    """All steps, each after those it needs; training before measuring, so that the long steps start first."""
    arms = arms_of(study)
    steps = [StudyStep("curation", "curation", (), lambda paths: study.curation)]
    steps += [_mixture(study, dose) for dose in study.doses]
    steps += [_pretrain(study, arm) for arm in arms]
    for arm in arms:
        steps += [_tune(study, arm, name) for name in study.tunes]
        steps += [_steer(study, arm, fit) for fit in fits_of(study)]
        steps += [_measure(study, arm, recipe) for recipe in recipes_of(study)]
    return steps


def mixture_at(study: StudySpec, dose: float) -> MixtureSpec:
    """The study's mixture with `dose` of all training tokens from the dosed component."""
    return with_dose(study.mixture, study.dose_of, dose, f"dose-{dose:g}")


def _mixture(study: StudySpec, dose: float) -> StudyStep:
    def make(paths: Paths) -> Spec:
        return mixture_at(study, dose).model_copy(update={"curation": str(paths["curation"])})

    return StudyStep(f"mixture-dose-{dose:g}", "mixture", ("curation",), make)


def _pretrain(study: StudySpec, arm: Arm) -> StudyStep:
    def make(paths: Paths) -> Spec:
        filled = {
            "name": arm.name,
            "mixture": str(paths[arm.mixture]),
            "loss": study.policies[arm.policy],
            "seed": arm.seed,
        }
        return study.pretrain.model_copy(update=filled)

    return StudyStep(arm.model, "pretrain", (arm.mixture,), make)


def _tune(study: StudySpec, arm: Arm, name: str) -> StudyStep:
    def make(paths: Paths) -> Spec:
        section = on_mixture(study.tunes[name], str(paths[arm.mixture]))
        filled = {"name": name, "model": str(paths[arm.model]), "seed": arm.seed, "launcher": study.launcher_of_steps}
        return section.model_copy(update=filled)

    return StudyStep(arm.tuned(name), "tune", (arm.model, arm.mixture), make)


def _steer(study: StudySpec, arm: Arm, fit: Fit) -> StudyStep:
    model = arm.tuned(fit.tune)

    def make(paths: Paths) -> Spec:
        labelled = study.labelled.model_copy(update={"mixture": str(paths[arm.mixture])})
        return PosttrainSpec(
            name=fit.name,
            model=str(paths[model]),
            method=fit.args_with({name: str(paths[arm.tuned(name)]) for name in fit.named_tunes}),
            labelled=labelled,
            seed=arm.seed,
            device=study.analysis.device,
        ).model_copy(update={"launcher": study.launcher_of_steps})

    tunes = tuple(arm.tuned(name) for name in sorted(fit.named_tunes))
    return StudyStep(arm.fit(fit.name), "posttrain", (model, arm.mixture, *tunes), make)


def _measure(study: StudySpec, arm: Arm, recipe: StudyRecipe) -> StudyStep:
    model = arm.tuned(recipe.tune)
    needs = dict.fromkeys((model, arm.model, arm.mixture, *(arm.fit(entry.fit) for entry in recipe.entries)))
    label = ArmSpec(name=f"dose-{arm.dose:g}-{arm.policy}", dose=arm.dose, policy=arm.policy, mixture=arm.mixture)

    def make(paths: Paths) -> Spec:
        # The probes' texts are those of the arm's methods, so that one pass over them serves all.
        seed = arm.seed if study.labelled.seed is None else study.labelled.seed
        labelled = study.labelled.model_copy(update={"mixture": str(paths[arm.mixture]), "seed": seed})
        return study.analysis.for_arm(
            model=str(paths[model]), mixture=str(paths[arm.mixture]), labelled=labelled, arm=label, seed=arm.seed,
            recipe=tuple(entry.measured(str(paths[arm.fit(entry.fit)])) for entry in recipe.entries),
            alias=recipe.alias, cost_from=str(paths[arm.model]) if recipe.tune is not None else None,
            launcher=study.launcher_of_steps,
        )  # fmt: skip

    return StudyStep(arm.measure(recipe), "analysis", tuple(needs), make)
