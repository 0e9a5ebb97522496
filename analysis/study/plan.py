"""What a study will do and cost: its grid, its distinct steps, its training, all from the file alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from analysis.study.arms import Arm, arms_of
from analysis.study.detectable import detectable_difference
from analysis.study.devices import ON_ONE_GPU
from analysis.study.recipes import StudyRecipe, recipes_of
from analysis.study.spec import StudySpec
from analysis.study.steps import StudyStep, mixture_of, steps_of
from infra.artifacts.artifact import STEPS
from infra.render.page import Plan, Table
from mixtures.spec.amounts import resolve
from pretrain.data.schedule import packed
from pretrain.model.architecture import Architecture
from pretrain.planning.estimate import Training
from pretrain.planning.plan import assumption, durations, memory_table, notes
from pretrain.processes.sbatch import batch_script

_OF_STEPS = "The batch script of a tune, fit or measurement; those of a kind that are ready together become an array"


def plan_study(study: StudySpec) -> Plan:
    """Tables of arms, steps and training; what is known only after curation is left out."""
    arms, steps = arms_of(study), steps_of(study)
    kinds = Counter(step.kind for step in steps)
    grid = Table("distinct steps", ("kind", "steps"), tuple(kinds.items()))
    models = Counter(_any_of(arm) for arm in arms)
    rows = tuple(_row(study, arm, count) for arm, count in models.items())
    tokens = [row[-1] for row in rows]
    recipes = recipes_of(study)
    remarks = [f"{len(recipes)} recipes per model: {', '.join(_recipe_words(recipe) for recipe in recipes)}"]
    remarks += _handed_over(study, kinds)
    if all(isinstance(value, int) for value in tokens):
        remarks.append(f"{sum(value for value in tokens if isinstance(value, int)):,} training tokens in all")
    doses = Table("arms", ("dose", "models", "clean and other tokens", "risky tokens", "training tokens"), rows)
    trainings = {arm: training for arm in models if (training := _training(study, arm)) is not None}
    tables, more = _training_tables(study, trainings, models)
    differences, of_differences = detectable_difference(study)
    folders = [Path("runs") / study.name / STEPS / arm.model for arm in arms]
    scripts = (*batch_script(study.pretrain.launcher, study.name, folders), *_script_of_steps(study, steps))
    return Plan(f"study {study.name}: {len(arms)} models", (doses, grid, *differences, *tables),
                (*remarks, *of_differences, *more), scripts)  # fmt: skip


def _handed_over(study: StudySpec, kinds: Iterable[str]) -> Iterator[str]:
    """Which kinds of steps other machines do, such as `analysis: handed to slurm, one process each`."""
    for kind in kinds:
        launcher = study.pretrain.launcher if kind == "pretrain" else study.launcher_of_steps
        if kind in ON_ONE_GPU and launcher.elsewhere:
            processes = "one process" if launcher.ranks == 1 else f"{launcher.ranks} processes"
            yield f"{kind}: handed to {launcher.name}, {processes} each"


def _script_of_steps(study: StudySpec, steps: list[StudyStep]) -> tuple[tuple[str, str], ...]:
    """The script of one tune, fit or measurement, where Slurm makes them."""
    first = next((step for step in steps if step.kind in ON_ONE_GPU and step.kind != "pretrain"), None)
    if first is None:
        return ()
    folder = Path("runs") / study.name / STEPS / first.name
    scripts = batch_script(study.launcher_of_steps, study.name, [folder])
    return tuple((_OF_STEPS, text) for _, text in scripts)


def _recipe_words(recipe: StudyRecipe) -> str:
    return recipe.alias if recipe.setting.value == 0 else f"{recipe.alias} {recipe.setting.words}"


def _row(study: StudySpec, arm: Arm, models: int) -> tuple[object, ...]:
    """Tokens of one mixture, where the file alone says them."""
    amounts, name = _amounts(study, arm), _mixture_words(arm)
    if amounts is None:
        return name, models, "known after curation", "", ""
    risky, total = amounts[study.dose_of], sum(amounts.values())
    return name, models, total - risky, risky, total * models * study.pretrain.epochs


def _any_of(arm: Arm) -> Arm:
    """An arm that stands for all that train on its mixture."""
    return replace(arm, seed=0, policy=arm.policy if arm.cut else "")


def _mixture_words(arm: Arm) -> str:
    """The dose, or what else the mixture is."""
    return arm.mixture.removeprefix("mixture-").removeprefix("dose-")


def _amounts(study: StudySpec, arm: Arm) -> dict[str, int] | None:
    """Tokens of each component; None where some are only known after curation."""
    amounts = {name: component.amount for name, component in mixture_of(study, arm).components.items()}
    if any(amount.everything for amount in amounts.values()):
        return None
    return resolve(amounts, dict.fromkeys(amounts, 0))


def _training(study: StudySpec, arm: Arm) -> Training | None:
    """The training of one model; None where its tokens or its vocabulary are only known later."""
    amounts, rows = _amounts(study, arm), _vocabulary(study)
    if amounts is None or rows is None:
        return None
    length = study.mixture.sequence_length
    streams = (packed(amounts.values(), study.mixture.packing),)
    return Training(study.pretrain, Architecture.from_spec(study.pretrain.model, rows, length), length, streams)


def _vocabulary(study: StudySpec) -> int | None:
    """Entries of the tokenizer as far as the file says them; where the model fixes its own, they need not be known."""
    trained = study.mixture.tokenizer.train_bpe
    if trained is not None:
        return trained.vocab_size
    return 0 if Architecture.from_spec(study.pretrain.model, 0, 2).vocab_size else None


def _training_tables(
    study: StudySpec, trainings: dict[Arm, Training], models: dict[Arm, int]
) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Cost of one model of each dose, and where GPUs train, the memory of the largest and the sum over the grid."""
    if not trainings:
        return (), ()
    longest = max(trainings.values(), key=lambda training: training.tokens)
    times = [name for name, _ in durations(longest)]
    rows = tuple(
        (_mixture_words(arm), run.tokens, run.steps, f"{run.flops:.3g}", *dict(durations(run)).values())
        for arm, run in trainings.items()
    )
    table = Table("training of one model (estimate)", ("dose", "tokens", "steps", "FLOPs", *times), rows)
    if study.pretrain.launcher.name == "local":
        return (table,), (assumption(longest),)
    hours = sum(training.gpu_hours * models[arm] for arm, training in trainings.items())
    total = f"{hours:,.0f} {study.pretrain.launcher.gpu}-hours to train all models"
    return (table, memory_table(longest)), (total, *notes(longest))
