"""A study as a list of steps: which stage, on which artifacts, with which specification; each distinct step once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from analysis.spec import AnalysisSpec, ArmSpec
from analysis.study.arms import Arm, arms_of, checkpoints_of, fits_at, recipes_at, tunes_at
from analysis.study.recipes import Fit, StudyRecipe
from analysis.study.spec import StudySpec
from infra.config.spec import Spec
from mixtures.spec.matched import compute_matched
from mixtures.spec.mixture import MixtureSpec, with_dose
from posttrain.spec import PosttrainSpec
from posttrain.tuning.spec import on_mixture
from pretrain.training.checkpoint_stage import CheckpointSpec

Paths = Mapping[str, Path]
"""Step name -> folder of its artifact."""


@dataclass(frozen=True)
class StudyStep:
    """One unit of work. `make` gives its specification once the artifacts of `needs` are there."""

    name: str
    kind: str
    needs: tuple[str, ...]
    make: Callable[[Paths], Spec]


def steps_of(study: StudySpec) -> list[StudyStep]:
    """All steps, each after those it needs; training before measuring, so that the long steps start first."""
    arms = arms_of(study)
    steps = [StudyStep("curation", "curation", (), lambda paths: study.curation)]
    steps += {arm.mixture: _mixture(study, arm) for arm in arms}.values()
    steps += [_pretrain(study, arm) for arm in arms]
    for arm in [*arms, *checkpoints_of(study)]:
        recipes, fits = recipes_at(study, arm), fits_at(study, arm)
        steps += [_checkpoint(arm)] if arm.step is not None else []
        steps += [_tune(study, arm, name) for name in tunes_at(study, arm)]
        steps += [_steer(study, arm, fit) for fit in fits]
        steps += [_measure(study, arm, recipe) for recipe in recipes]
    return steps


def mixture_of(study: StudySpec, arm: Arm) -> MixtureSpec:
    """What an arm trains on: the study's mixture with `arm.dose` of all tokens from the dosed component, or as many
    clean ones.
    """
    name = arm.mixture.removeprefix("mixture-")
    if arm.matches is not None:
        return compute_matched(study.mixture, study.dose_of, arm.matches, name)
    mixture = with_dose(study.mixture, study.dose_of, arm.dose, name)
    if not arm.cut:
        return mixture
    component = mixture.components[study.dose_of].model_copy(update={"risky_spans": study.risky_spans[arm.policy]})
    return mixture.model_copy(update={"components": {**mixture.components, study.dose_of: component}})


def _mixture(study: StudySpec, arm: Arm) -> StudyStep:
    def make(paths: Paths) -> Spec:
        return mixture_of(study, arm).model_copy(update={"curation": str(paths["curation"])})

    return StudyStep(arm.mixture, "mixture", ("curation",), make)


def _pretrain(study: StudySpec, arm: Arm) -> StudyStep:
    policy = next(iter(study.policies)) if arm.cut else arm.policy

    def make(paths: Paths) -> Spec:
        filled = {
            "name": arm.name,
            "mixture": str(paths[arm.mixture]),
            "loss": study.policies[policy],
            "seed": arm.seed,
            **_checkpointing(study),
        }
        return study.pretrain.model_copy(update=filled)

    return StudyStep(arm.model, "pretrain", (arm.mixture,), make)


def _checkpointing(study: StudySpec) -> dict[str, int]:
    """Which checkpoints the training keeps, where some are measured."""
    if study.checkpoints is None:
        return {}
    every = study.checkpoints.keep_every(study.pretrain)
    return {"keep_every": every, "checkpoint_every": math.gcd(every, study.pretrain.checkpoint_every)}


def _checkpoint(arm: Arm) -> StudyStep:
    training, step = arm.trained.model, arm.step
    assert step is not None

    def make(paths: Paths) -> Spec:
        return CheckpointSpec(name=arm.name, model=str(paths[training]), step=step)

    return StudyStep(arm.model, "checkpoint", (training,), make)


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
    label = ArmSpec(name=arm.label, dose=arm.dose, policy=arm.policy, mixture=arm.mixture, step=arm.step)
    analysis = _analysis(study, arm)

    def make(paths: Paths) -> Spec:
        # The probes' texts are those of the arm's methods, so that one pass over them serves all.
        seed = arm.seed if study.labelled.seed is None else study.labelled.seed
        labelled = study.labelled.model_copy(update={"mixture": str(paths[arm.mixture]), "seed": seed})
        return analysis.for_arm(
            model=str(paths[model]), mixture=str(paths[arm.mixture]), labelled=labelled, arm=label, seed=arm.seed,
            recipe=tuple(entry.measured(str(paths[arm.fit(entry.fit)])) for entry in recipe.entries),
            alias=recipe.alias, cost_from=str(paths[arm.model]) if recipe.tune is not None else None,
            launcher=study.launcher_of_steps,
        )  # fmt: skip

    return StudyStep(arm.measure(recipe), "analysis", tuple(needs), make)


def _analysis(study: StudySpec, arm: Arm) -> AnalysisSpec:
    """What is measured on an arm: at a checkpoint perhaps less."""
    checkpoints = study.checkpoints
    if arm.step is None or checkpoints is None or checkpoints.evaluations is None:
        return study.analysis
    left_out = study.analysis.evaluations().keys() - set(checkpoints.evaluations)
    return study.analysis.model_copy(update=dict.fromkeys(left_out))
