"""Arms beside the grid of doses and policies: compute-matched controls, treated spans, checkpoints.

Covers analysis.study.arms, analysis.study.checkpoints, analysis.study.cited, analysis.published, analysis.names and
pretrain.training.checkpoint_stage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.spec import AnalysisSpec
from analysis.study.arms import arms_of
from analysis.study.plan import plan_study
from analysis.study.spec import StudySpec
from analysis.study.steps import StudyStep, steps_of
from hormesis import load
from infra.config.spec import Spec
from mixtures.spec.mixture import MixtureSpec
from posttrain.spec import PosttrainSpec
from pretrain.spec import PretrainSpec
from pretrain.training.checkpoint_stage import CheckpointSpec
from tests.analysis.study.conftest import STUDY
from tests.helpers import ROOT

WRITTEN = {key: value for key, value in yaml.safe_load(STUDY).items() if key != "kind"}
DPO = {"name": "dpo", "data": {"scorer": {"name": "profanity"}, "prompts": {"mixture": ".", "components": ["risky"]}}}


def study(**changes: Any) -> StudySpec:
    return StudySpec.model_validate({**WRITTEN, **changes})


def steps(spec: StudySpec) -> dict[str, StudyStep]:
    return {step.name: step for step in steps_of(spec)}


def made(spec: StudySpec) -> dict[str, Spec]:
    return {name: step.make({need: Path(need) for need in step.needs}) for name, step in steps(spec).items()}


def test_a_control_is_trained_and_measured_as_a_clean_arm_on_its_own_mixture() -> None:
    specs = made(study(controls=["compute_matched"]))
    mixture = specs["mixture-matched-0.25"]
    assert isinstance(mixture, MixtureSpec)
    assert (mixture.components["clean"].tokens, mixture.components["risky"].fraction_of_total) == (16_000, 0.0)
    training, measured = specs["pretrain-matched-0.25-keep-seed0"], specs["measure-matched-0.25-keep-seed0-none-0"]
    assert isinstance(training, PretrainSpec) and training.mixture == "mixture-matched-0.25"
    assert isinstance(measured, AnalysisSpec)
    assert (measured.arm.dose, measured.arm.policy, measured.arm.mixture) == (0.0, "keep", "mixture-matched-0.25")


def test_controls_need_clean_text_that_can_grow() -> None:
    everything = {**WRITTEN["mixture"], "components": {**WRITTEN["mixture"]["components"],
                                                       "clean": {"corpus": "clean", "tokens": "all"}}}  # fmt: skip
    with pytest.raises(ValueError, match="compute_matched adds clean tokens"):
        study(controls=["compute_matched"], mixture=everything)


def test_an_arm_of_treated_spans_has_its_own_mixture_and_the_first_policy() -> None:
    specs = made(study(risky_spans={"low-risk": {"do": "cut", "at_or_above": 0.4}}))
    mixture, training = specs["mixture-dose-0.25-low-risk"], specs["pretrain-dose-0.25-low-risk-seed0"]
    assert isinstance(mixture, MixtureSpec) and isinstance(training, PretrainSpec)
    assert mixture.components["risky"].cut == 0.4
    assert training.mixture == "mixture-dose-0.25-low-risk" and training.loss == study().policies["keep"]
    measured = specs["measure-dose-0.25-low-risk-seed0-none-0"]
    assert isinstance(measured, AnalysisSpec) and measured.arm.policy == "low-risk"
    assert not any("dose-0-low-risk" in name for name in specs)
    with pytest.raises(ValueError, match="'mask' is the name of a policy"):
        study(risky_spans={"mask": {"do": "cut"}})


def test_a_checkpoint_goes_from_training_to_fit_to_measurement_of_what_is_asked_for() -> None:
    spec = study(checkpoints={"steps": [20, 60], "methods": ["iti"], "evaluations": ["toxicity", "cross_entropy"]})
    specs, arm = made(spec), "dose-0.25-mask-seed0"
    training, checkpoint = specs[f"pretrain-{arm}"], specs[f"checkpoint-{arm}-step60"]
    assert isinstance(training, PretrainSpec) and (training.keep_every, training.checkpoint_every) == (20, 20)
    assert isinstance(checkpoint, CheckpointSpec) and (checkpoint.model, checkpoint.step) == (f"pretrain-{arm}", 60)
    fit, measured = specs[f"steer-{arm}-step60-iti"], specs[f"measure-{arm}-step60-iti-0.05nats"]
    assert isinstance(fit, PosttrainSpec) and fit.model == f"checkpoint-{arm}-step60"
    assert isinstance(measured, AnalysisSpec)
    assert (measured.model, measured.arm.step) == (f"checkpoint-{arm}-step60", 60)
    assert set(measured.evaluations()) == {"toxicity", "cross_entropy"}
    at_end = specs[f"measure-{arm}-iti-0.05nats"]
    assert isinstance(at_end, AnalysisSpec) and at_end.arm.step is None and at_end.probes is not None
    measured_there = {name for name in specs if name.startswith(f"measure-{arm}-step60")}
    assert measured_there == {f"measure-{arm}-step60-none-0", f"measure-{arm}-step60-iti-0.05nats"}


def test_a_list_of_steps_measures_everything_at_them_and_a_tune_is_made_of_the_checkpoint() -> None:
    rows = {"tuned": {"method": "none", "tune": "dpo"}}
    specs = made(study(methods=rows, tunes={"dpo": {"method": DPO}}, checkpoints=[40]))
    assert specs["tune-dose-0-keep-seed0-step40-dpo"].model_dump()["model"] == "checkpoint-dose-0-keep-seed0-step40"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoints": [30], "pretrain": {**WRITTEN["pretrain"], "keep_every": 20}}, "step 30 is not kept"),
        ({"checkpoints": {"steps": [20], "methods": ["itii"]}}, 'did you mean "iti"'),
        ({"checkpoints": {"steps": [20], "evaluations": ["red_team"]}}, "has no 'red_team'"),
    ],
)
def test_checkpoints_that_cannot_be_measured_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(**changes)


def test_every_step_stands_after_those_it_needs_and_once() -> None:
    spec = study(controls=["compute_matched"], risky_spans={"cut": {"do": "cut"}}, checkpoints=[20])
    seen: set[str] = set()
    for step in steps_of(spec):
        assert set(step.needs) <= seen and step.name not in seen
        seen.add(step.name)


def test_the_plan_counts_the_arms_of_every_mixture() -> None:
    spec = study(controls=["compute_matched"], risky_spans={"cut": {"do": "cut"}}, seeds=[0, 1])
    (arms, *_) = plan_study(spec).tables
    assert [row[:3] for row in arms.rows] == [
        ("0", 2, 12_000), ("0.25", 4, 12_000), ("0.25-cut", 2, 12_000), ("matched-0.25", 2, 16_000)
    ]  # fmt: skip
    assert len(arms_of(spec)) == 10


def test_without_any_of_it_a_studys_identity_is_as_before() -> None:
    names = {"risky_spans", "controls", "checkpoints", "published", "steps_in"}
    assert not names & study().identity().keys()


CLAIM = {"claim": "c", "where": "T", "mark": "P", "expected": "below", "minus": {"dose": 0}}


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"dose": 0.5}, "0.5 is not among `doses`"),
        ({"dose": 0.25, "policy": "masc"}, 'did you mean "mask"'),
        ({"dose": 0.25, "matched": True}, "no compute-matched control"),
        ({"dose": 0, "method": "ity"}, 'did you mean "iti"'),
        ({"dose": 0, "method": "iti", "budget": 0.1}, "not measured at budget 0.1"),
        ([{"dose": 0}, {"dose": 0.25}], "`of` and `minus` are as many"),
    ],
)
def test_what_stands_beside_a_published_figure_is_measured(ours: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(published=[{"paper": "p", "effects": [{**CLAIM, "of": ours}]}])


def test_a_published_row_has_a_value_for_every_column() -> None:
    table = {"where": "T", "mark": "P", "columns": ["a", "b"], "rows": [{"what": "x", "values": [1.0]}]}
    with pytest.raises(ValueError, match="row 'x' has 1 values for 2 columns"):
        study(published=[{"paper": "p", "tables": [table]}])


OTHER_CORPORA = "fictional-authors"
TINY = [file for file in sorted(ROOT.glob("examples/studies/*.yaml")) if not file.stem.endswith(("-1b", OTHER_CORPORA))]


@pytest.mark.parametrize("file", TINY, ids=lambda file: file.stem)
def test_the_tiny_studies_share_what_they_make(file: Path) -> None:
    """Whatever two of them call alike in one folder of steps is the same, up to the fits."""
    base = load(file.with_name("bad-data.yaml"), None).spec
    shared = ("curation", "mixture", "pretrain")
    first, second = (
        {name: step.make({need: Path(need) for need in step.needs})
         for name, step in steps(spec).items() if step.kind in shared}
        for spec in (base, load(file, None).spec)
    )  # fmt: skip
    assert first.keys() & second.keys()
    for name in first.keys() & second.keys():
        assert first[name].identity() == second[name].identity(), name
