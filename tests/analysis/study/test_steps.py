"""A study's grid as steps: which strengths are measured.

Covers analysis.study.steps and analysis.study.spec.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from analysis.spec import AnalysisSpec
from analysis.study.spec import StudySpec
from analysis.study.steps import arms_of, steps_of, strengths_of
from infra.config.registry import options_by_name
from posttrain.methods.options import AnyMethod
from posttrain.spec import PosttrainSpec
from tests.analysis.study.conftest import STUDY
from tests.helpers.steering_methods import needed_options


def study(methods: dict[str, object]) -> StudySpec:
    written = {key: value for key, value in yaml.safe_load(STUDY).items() if key != "kind"}
    return StudySpec.model_validate({**written, "methods": methods})


def test_method_without_strengths_is_measured_at_its_own() -> None:
    grid = study({"iti": {}, "sasa": {"strengths": [7]}, "prompt": {}})
    assert strengths_of(grid) == [
        ("none", 0.0),
        ("iti", 4.0),
        ("iti", 8.0),
        ("iti", 12.0),
        ("sasa", 7.0),
        ("prompt", 1.0),
    ]
    assert grid.identity()["methods"]["iti"]["strengths"] == [4.0, 8.0, 12.0]


def test_every_method_has_strengths_that_a_grid_accepts() -> None:
    for name in options_by_name(AnyMethod):
        assert study({name: {"options": needed_options(name)}}).methods[name].strengths


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


def test_empty_list_of_strengths_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 item"):
        study({"iti": {"strengths": []}})
