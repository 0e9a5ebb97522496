"""A study's grid as steps: which recipes are measured, and which fits they share.

Covers analysis.study.steps, analysis.study.recipes, analysis.study.grid, analysis.study.spec and analysis.settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.spec import AnalysisSpec
from analysis.study.arms import arms_of
from analysis.study.recipes import fits_of, recipes_of
from analysis.study.spec import StudySpec
from analysis.study.steps import steps_of
from infra.config.registry import options_by_name
from infra.config.spec import load_spec
from infra.errors import ConfigError
from posttrain.methods.options import AnyMethod
from posttrain.spec import PosttrainSpec
from posttrain.tuning.spec import TuneSpec
from tests.analysis.study.conftest import STUDY
from tests.helpers.steering_methods import needed_options

WRITTEN = {key: value for key, value in yaml.safe_load(STUDY).items() if key != "kind"}


def study(methods: dict[str, object], **changes: Any) -> StudySpec:
    return StudySpec.model_validate({**WRITTEN, **changes, "methods": methods})


def measured(spec: StudySpec) -> list[tuple[str, str]]:
    """(name, setting) of what is measured on every model."""
    return [(recipe.alias, recipe.setting.label) for recipe in recipes_of(spec)]


def test_a_graded_method_is_measured_at_the_studys_budgets_and_others_once() -> None:
    spec = study({"iti": {}, "sasa": {"strengths": [7]}, "prompt": {}, "rare": {"method": "iti", "budgets": [0.3]}})
    assert measured(spec) == [
        ("none", "0"),
        *(("iti", f"{budget}nats") for budget in ("0.02", "0.05", "0.1", "0.2")),
        ("sasa", "7"),
        ("prompt", "1"),
        ("rare", "0.3nats"),
    ]
    assert measured(study({"iti": {}}, budgets=[0.4])) == [("none", "0"), ("iti", "0.4nats")]
    assert spec.identity()["methods"]["iti"]["budgets"] == [0.02, 0.05, 0.1, 0.2]


def test_rows_with_the_same_fit_share_it_whatever_they_do_with_it() -> None:
    spec = study(
        {
            "iti": {"options": {"top_heads": 2}},
            "twin": {"method": "iti", "strengths": [3], "options": {"top_heads": 2}},
            "random": {"method": "iti", "options": {"top_heads": 2, "direction": "random"}},
            "stack": {"method": "sasa", "with": {"iti": {"strength": 2, "options": {"top_heads": 2}}, "prompt": {}}},
        }
    )
    assert [fit.name for fit in fits_of(spec)] == ["iti", "random", "stack", "stack-with-prompt"]
    stack = recipes_of(spec)[-1]
    assert [(entry.fit, entry.setting.label) for entry in stack.entries] == [
        ("stack", "0.2nats"), ("iti", "2"), ("stack-with-prompt", "1")
    ]  # fmt: skip


def test_a_stack_is_measured_on_the_fits_of_its_arm() -> None:
    spec = study({"stack": {"method": "sasa", "budgets": [0.1], "with": {"iti": {"strength": 2}}}})
    step = steps_of(spec)[-1]
    arm = "dose-0.25-mask-seed0"
    assert step.name == f"measure-{arm}-stack-0.1nats"
    assert set(step.needs) == {
        f"pretrain-{arm}", "mixture-dose-0.25", f"steer-{arm}-stack", f"steer-{arm}-stack-with-iti"
    }  # fmt: skip
    made = step.make({need: Path(need) for need in step.needs})
    assert isinstance(made, AnalysisSpec) and made.alias == "stack" and made.budget == 0.1
    assert [(entry.steering, entry.budget) for entry in made.recipe] == [
        (f"steer-{arm}-stack", 0.1), (f"steer-{arm}-stack-with-iti", None)
    ]  # fmt: skip
    assert made.recipe[1].strength == 2


def test_every_step_stands_after_those_it_needs_and_once() -> None:
    seen: set[str] = set()
    for step in steps_of(study(WRITTEN["methods"])):
        assert set(step.needs) <= seen and step.name not in seen
        seen.add(step.name)


def test_every_method_can_be_a_row() -> None:
    for name in options_by_name(AnyMethod):
        row = study({name: {"options": needed_options(name)}}).methods[name]
        assert row.strengths or row.budgets


@pytest.mark.parametrize("seed", [None, 5])
def test_an_arms_methods_and_its_probes_have_the_same_labelled_texts(seed: int | None) -> None:
    grid = study({"iti": {}})
    grid = grid.model_copy(update={"labelled": grid.labelled.model_copy(update={"seed": seed})})
    paths = {step.name: Path(step.name) for step in steps_of(grid)}
    for arm in arms_of(grid):
        specs = {step.name: step.make(paths) for step in steps_of(grid) if arm.name in step.name}
        steer, measure = specs[f"steer-{arm.name}-iti"], specs[f"measure-{arm.name}-none-0"]
        assert isinstance(steer, PosttrainSpec) and isinstance(measure, AnalysisSpec)
        assert steer.labelled is not None and measure.labelled is not None
        drawn_by = steer.seed if steer.labelled.seed is None else steer.labelled.seed
        assert drawn_by == measure.labelled.seed == (arm.seed if seed is None else seed)


SCORED = {"scorer": {"name": "profanity"}, "prompts": {"mixture": ".", "components": ["risky"]}}
TUNES = {name: {"method": {"name": "dpo", "data": SCORED}} for name in ("dpo", "other")}


def test_arms_go_from_mixture_to_training_to_tune_to_steering() -> None:
    rows = {"tuned": {"method": "none", "tune": "dpo"}, "both": {"method": "iti", "tune": "dpo", "budgets": [0.1]},
            "iti": {"budgets": [0.1]}}  # fmt: skip
    steps = {step.name: step for step in steps_of(study(rows, tunes={"dpo": TUNES["dpo"]}))}
    arm = "dose-0.25-mask-seed0"
    tune = steps[f"tune-{arm}-dpo"]
    assert set(tune.needs) == {f"pretrain-{arm}", "mixture-dose-0.25"}
    made = {name: step.make({need: Path(need) for need in step.needs}) for name, step in steps.items()}
    tuning = made[tune.name]
    assert isinstance(tuning, TuneSpec) and tuning.model == f"pretrain-{arm}"
    assert tuning.method.model_dump()["data"]["prompts"]["mixture"] == "mixture-dose-0.25"
    fit, twin = made[f"steer-{arm}-both"], made[f"steer-{arm}-iti"]
    assert isinstance(fit, PosttrainSpec) and fit.model == tune.name
    assert isinstance(twin, PosttrainSpec) and twin.model == f"pretrain-{arm}"  # another model, so another fit
    alone, steered = made[f"measure-{arm}-tuned-0"], made[f"measure-{arm}-both-0.1nats"]
    assert isinstance(alone, AnalysisSpec) and isinstance(steered, AnalysisSpec)
    assert (alone.model, alone.recipe, alone.alias) == (tune.name, (), "tuned")
    assert (steered.model, steered.cost_from) == (tune.name, f"pretrain-{arm}")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"a": {"method": "none", "tune": "dop"}}, 'did you mean "dpo"'),
        ({"a": {"method": "none", "tune": "dpo"}}, "no row of `methods` uses 'other'"),
    ],
)
def test_tunes_that_are_missing_or_idle_are_refused(rows: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(rows, tunes=TUNES)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"iti": {"strengths": []}}, "at least 1 item"),
        ({"iti": {"strengths": [1], "budgets": [0.1]}}, "either `strengths` or `budgets`"),
        ({"iti": {"budgets": [0]}}, "greater than 0"),
        ({"prompt": {"budgets": [0.1]}}, "no strength to find"),
        ({"none": {"method": "iti"}}, "call this recipe something else"),
        ({"mine": {}}, 'no method "mine"'),
        ({"a-with-b": {"method": "iti"}}, "taken for the methods that act beside"),
        ({"iti": {"with": {"sasaa": {}}}}, 'did you mean "sasa"'),
        ({"iti": {"with": {"sasa": {"strength": 0}}}}, "greater than 0"),
    ],
)
def test_rows_that_say_nothing_measurable_are_refused(methods: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(methods)


def test_budgets_need_documents_that_are_not_measured() -> None:
    everything = {**WRITTEN["analysis"], "cross_entropy": {}}
    with pytest.raises(ValueError, match="give `max_documents`"):
        study({"iti": {}}, analysis=everything)
    assert study({"iti": {"strengths": [2]}}, analysis=everything)


def test_a_wrong_key_beside_with_is_told_with_its_line_and_the_keys_as_they_are_written(tmp_path: Path) -> None:
    text = STUDY.replace("with: {iti:", "wiht: {iti:")
    (tmp_path / "study.yaml").write_text(text)
    line = 1 + next(number for number, row in enumerate(text.splitlines()) if "wiht" in row)
    with pytest.raises(ConfigError, match=rf"study.yaml:{line}: methods.both.wiht: unknown key; .*, with"):
        load_spec(tmp_path / "study.yaml", {"study": lambda: StudySpec})


def test_the_options_of_a_row_reach_its_fit() -> None:
    spec = study({"random": {"method": "iti", "options": {"direction": "random", "top_heads": 3}}})
    step = next(step for step in steps_of(spec) if step.kind == "posttrain")
    made = step.make({need: Path(need) for need in step.needs})
    assert isinstance(made, PosttrainSpec)
    assert made.method.model_dump()["direction"] == "random" and made.method.model_dump()["top_heads"] == 3
