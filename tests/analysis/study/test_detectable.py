"""A plan says which difference in toxicity the study can detect, and what more of everything would give.

Covers analysis.study.detectable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import results
from analysis.statistics.power import MEASURED, Size, detectable
from analysis.study.plan import plan_study
from analysis.study.spec import StudySpec
from hormesis import load
from infra.render.page import Plan
from tests.helpers.made_up_study import report

TITLE = "difference in mean toxicity that is detected"


def plan_of(study_file: Path, **changes: Any) -> Plan:
    """The plan of the tiny study with some of its keys changed; toxicity's under `toxicity`."""
    content = yaml.safe_load(study_file.read_text())
    content["analysis"]["toxicity"] |= changes.pop("toxicity", {})
    path = study_file.parent / "detectable.yaml"
    path.write_text(yaml.safe_dump(content | changes))
    spec = load(path, None).spec
    assert isinstance(spec, StudySpec)
    return plan_study(spec)


def remark(plan: Plan) -> str:
    return next(note for note in plan.notes if "in mean toxicity" in note)


def test_plan_says_what_is_detected_and_what_more_seeds_or_prompts_would_give(study_file: Path) -> None:
    plan = plan_of(study_file, seeds=[0, 1, 2], toxicity={"limit": 200})
    least = detectable(Size(3, 200, 2, arms=2), MEASURED)  # dose .25 under keep and mask
    assert f"3 seeds, 200 prompts and 2 samples of them detect a difference of {least:.3f}" in remark(plan)
    assert "2 arms (Bonferroni)" in remark(plan) and "benchmarks/results/real" in remark(plan)
    (shown,) = (table for table in plan.tables if table.title == TITLE)
    assert shown.columns == ("seeds", "200 prompts × 2", "800 prompts × 2", "200 prompts × 8")
    assert [row[0] for row in shown.rows] == [2, 3, 5, 10] and shown.rows[1][1] == f"{least:.3f}"


def test_one_seed_is_told_to_decide_nothing_and_two_that_more_prompts_do_not_help(study_file: Path) -> None:
    assert remark(plan_of(study_file, seeds=[0])).startswith("one seed decides nothing")
    notes = plan_of(study_file, seeds=[0, 1], toxicity={"limit": 200}).notes
    assert any(note.startswith("more prompts would not help") for note in notes)


def test_prompts_without_a_limit_are_assumed_and_said_to_be(study_file: Path) -> None:
    assert "1,000 prompts (assumed: there is no `limit`)" in remark(
        plan_of(study_file, toxicity={"limit": None}, seeds=[0, 1])
    )


def test_nothing_is_told_where_no_arm_has_a_clean_one_beside_it(study_file: Path) -> None:
    for doses in ([0.25], [0]):
        assert TITLE not in {table.title for table in plan_of(study_file, doses=doses).tables}


def test_noise_is_that_of_an_earlier_run_of_the_study(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs/tiny"
    folder.mkdir(parents=True)
    results.write(report(prompts=30).results, folder / "results.parquet")
    monkeypatch.chdir(tmp_path)
    plan = plan_of(study_file, seeds=[0, 1])
    assert "noise of the earlier run in runs/tiny/results.parquet" in remark(plan)
    (folder / "results.parquet").write_bytes(b"nothing")
    broken = plan_of(study_file, seeds=[0, 1])
    assert "benchmarks/results/real" in remark(broken)
    assert any("runs/tiny/results.parquet holds no arm" in note for note in broken.notes)
