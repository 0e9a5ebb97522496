"""Fits, tunes and measurements on other machines: the same artifacts as here, arrays, kills, plans, a whole study.

Covers pretrain.launchers.launched, pretrain.launchers.options.StepLauncher, pretrain.processes.work.Assignment,
pretrain.processes.worker, analysis.study.runner, analysis.study.plan and `steps_on` of analysis.study.spec.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from analysis import results
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.study import runner
from analysis.study.plan import plan_study
from analysis.study.spec import StudySpec
from analysis.study.steps import steps_of
from hormesis import load
from infra.errors import ConfigError, JobError
from infra.stages.stage import run_stage, work_folder
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.tuning.stage import TUNE
from pretrain.launchers.slurm import Slurm
from pretrain.processes.work import Assignment
from tests.helpers import ROOT, fake_slurm
from tests.pretrain.launchers.test_sbatch import check

SLURM: dict[str, Any] = {"name": "slurm", "cpus_per_gpu": 1}

MANY = 1000
"""Prompts: eight chunks of 128."""

KILLED_ONCE = """#!/bin/bash
# in place of Python: the first time it is killed as soon as something was measured
if mkdir "$FAKE_SLURM/first" 2> /dev/null; then
    {python} "$@" & worker=$!
    written="$(dirname "$3")/store/.measured-toxicity-*.partial/chunks/00000.parquet"
    until compgen -G "$written" > /dev/null || ! kill -0 $worker; do sleep 0.01; done
    kill -{signal} $worker; wait $worker; exit $?
fi
exec {python} "$@"
"""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's programs, and nodes that find this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(Slurm, "poll", 0.01)
    return fake_slurm.install(tmp_path / "slurm", monkeypatch)


def fit_of(model: Path, mixture: Path, **changes: Any) -> PosttrainSpec:
    labelled = {"mixture": str(mixture), "per_class": 10}
    method = {"name": "iti", "folds": 2, "top_heads": 2}
    return PosttrainSpec.model_validate(
        {"name": "iti", "model": str(model), "method": method, "labelled": labelled, **changes}
    )


def measurement_of(model: Path, mixture: Path, **changes: Any) -> AnalysisSpec:
    prompts = {"path": str(model.parent / "prompts.txt"), "documents": "line"}
    Path(prompts["path"]).write_text("the man in the street said\nmy old bicycle is\n")
    toxicity = {"prompts": prompts, "samples": 2, "max_new_tokens": 4, "scorer": {"name": "profanity"}}
    measured = {"cross_entropy": {"component": "clean", "max_documents": 3}, "toxicity": toxicity}
    given = {"name": "tiny", "model": str(model), "mixture": str(mixture), **measured}
    return AnalysisSpec.model_validate({**given, **changes})


def test_a_fit_and_a_measurement_under_slurm_are_those_of_this_machine(
    tiny_model: Path, mixture: Path, tmp_path: Path, slurm: Path
) -> None:
    """A recipe with a budget, which a specification that names every key could not hold."""
    here = run_stage(POSTTRAIN, fit_of(tiny_model, mixture), tmp_path / "here" / "iti", quiet=True)
    there = run_stage(POSTTRAIN, fit_of(tiny_model, mixture, launcher=SLURM), tmp_path / "there" / "iti", quiet=True)
    assert (there.fingerprint, there.files, there.counts) == (here.fingerprint, here.files, here.counts)
    recipe = [{"steering": str(there.path), "budget": 0.05}]
    asked = {"recipe": recipe, "budget_documents": {"documents": 2}}
    measured = run_stage(ANALYSIS, measurement_of(tiny_model, mixture, **asked), tmp_path / "here" / "m", quiet=True)
    launched = measurement_of(tiny_model, mixture, **asked, launcher=SLURM)
    away = run_stage(ANALYSIS, launched, tmp_path / "there" / "m", quiet=True)
    assert (away.fingerprint, away.files, away.counts) == (measured.fingerprint, measured.files, measured.counts)
    assert "--gpus-per-node=1\n" in (slurm / "script").read_text()
    assert len((slurm / "submitted").read_text().splitlines()) == 2
    assert not list((tmp_path / "there").glob(".*partial"))


def test_measurements_that_are_handed_over_together_are_one_array(
    tiny_model: Path, mixture: Path, tmp_path: Path, slurm: Path
) -> None:
    python = slurm / "python"
    python.write_text('#!/bin/bash\necho "{\\"rows\\": $SLURM_ARRAY_TASK_ID}" > "$3/launch/counts.json"\n')
    python.chmod(0o755)
    launcher = {**SLURM, "python": str(python)}
    specs = [measurement_of(tiny_model, mixture, seed=seed, launcher=launcher) for seed in range(2)]
    todo = [(spec, work_folder(ANALYSIS, spec, tmp_path / f"m{spec.seed}")) for spec in specs]
    assert ANALYSIS.submit and ANALYSIS.elsewhere and ANALYSIS.elsewhere(specs[0])
    ANALYSIS.submit(todo, tmp_path / "logs")
    ANALYSIS.submit(todo, tmp_path / "logs")  # by a command that was killed and runs again: they are done
    script = (slurm / "script").read_text()
    assert "#SBATCH --array=0-1\n" in script
    check(script, tmp_path)
    for task, spec in enumerate(specs):
        assert run_stage(ANALYSIS, spec, tmp_path / f"m{spec.seed}", quiet=True).counts == {"rows": task}
    assert len((slurm / "submitted").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_measurement_that_is_killed_goes_on_with_what_it_has_measured(
    signal: str, tiny_model: Path, mixture: Path, tmp_path: Path, slurm: Path
) -> None:
    """Told to stop it goes back into the queue by itself; killed, the same command takes it up."""
    python = slurm / "python"
    python.write_text(KILLED_ONCE.format(python=shlex.quote(sys.executable), signal=signal))
    python.chmod(0o755)
    spec = measurement_of(tiny_model, mixture, launcher={**SLURM, "python": str(python)})
    prompts = tiny_model.parent / "prompts.txt"
    prompts.write_text("".join(f"the man in street {number} said\n" for number in range(MANY)))
    target = tmp_path / "out" / "tiny"
    if signal == "KILL":
        with pytest.raises(JobError, match="ended before the work did, and without a word"):
            run_stage(ANALYSIS, spec, target, quiet=True)
        (file,) = (target.parent / "store").glob(".measured-toxicity-*.partial/chunks/00000.parquet")
        pl.read_parquet(file).with_columns(generation=pl.lit("to be known again")).write_parquet(file)
    table = results.read([run_stage(ANALYSIS, spec, target, quiet=True).path / results.FILE])
    written = table.filter(pl.col("evaluation") == "toxicity").sort("prompt", "sample")["generation"]
    assert len(written) == 2 * MANY
    if signal == "KILL":
        assert set(written[: 2 * 128]) == {"to be known again"}
        assert "to be known again" not in set(written[2 * 128 :])
    else:
        assert (slurm / "requeued").read_text() == "4242\n"


def test_a_fit_on_ray_is_that_of_this_machine(
    cluster: Any, tiny_model: Path, mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    here = run_stage(POSTTRAIN, fit_of(tiny_model, mixture), tmp_path / "here" / "iti", quiet=True)
    ray = {"name": "ray", "address": cluster.address, "gpus": 0, "cpus": 1}
    there = run_stage(POSTTRAIN, fit_of(tiny_model, mixture, launcher=ray), tmp_path / "there" / "iti", quiet=True)
    assert (there.fingerprint, there.files, there.counts) == (here.fingerprint, here.files, here.counts)


def test_a_step_is_of_one_process_with_one_gpu(tiny_model: Path, mixture: Path) -> None:
    fit = fit_of(tiny_model, mixture, launcher="slurm")
    assert fit.launcher.ranks == 1 and fit_of(tiny_model, mixture, launcher="ray").launcher.ranks == 1
    assert POSTTRAIN.plan(fit).scripts and not POSTTRAIN.plan(fit_of(tiny_model, mixture)).scripts
    for launcher in ({"name": "slurm", "nodes": 2}, {"name": "ray", "workers": 4}):
        with pytest.raises(ValueError, match="one does this work"):
            fit_of(tiny_model, mixture, launcher=launcher)
    with pytest.raises(ValueError, match="torchrun"):
        fit_of(tiny_model, mixture, launcher="torchrun")


def study_on(folder: Path, file: Path, launcher: object, **changes: Any) -> Path:
    """A study file like `file` whose trainings and steps go to a launcher; its data are linked beside it."""
    document = yaml.safe_load(file.read_text())
    document["pretrain"] |= {"launcher": launcher, "global_batch_size": 64}
    (folder / "study.yaml").write_text(yaml.safe_dump({**document, "steps_on": "launcher", **changes}, sort_keys=False))
    for data in [*file.parent.glob("*.gz"), file.parent / "prompts.txt"]:
        (folder / data.name).exists() or (folder / data.name).symlink_to(data)
    return folder / "study.yaml"


TUNES = {
    "kind": {
        "method": {
            "name": "sft",
            "data": {"prompts": {"mixture": ".", "components": ["risky"]}, "scorer": {"name": "profanity"}},
        }
    }
}
ROWS = {"kind": {"method": "none", "tune": "kind"}, "prompt": {"options": {"text": "Be kind."}}}


def test_a_study_plans_and_hands_over_what_its_launcher_does(study_file: Path, tmp_path: Path) -> None:
    launcher = {"name": "slurm", "nodes": 2, "gpus_per_node": 4, "partition": "gpu"}
    changes = {"tunes": TUNES, "methods": ROWS}
    study = load(study_on(tmp_path, study_file, launcher, **changes), None).spec
    assert isinstance(study, StudySpec)
    plan = plan_study(study)
    assert {note for note in plan.notes if "handed to" in note} == {
        "pretrain: handed to slurm, 8 processes each",
        "posttrain: handed to slurm, one process each",
        "tune: handed to slurm, one process each",
        "analysis: handed to slurm, one process each",
    }
    arms, step = (text for _, text in plan.scripts)
    assert "--nodes=2\n" in arms and "--nodes=1\n" in step and "--gpus-per-node=1\n" in step
    assert "--partition=gpu\n" in step
    check(step, tmp_path)
    paths = {name.name: tmp_path / name.name for name in steps_of(study)}
    for made in steps_of(study):
        spec: Any = made.make(paths)
        if made.kind in ("posttrain", "tune", "analysis"):
            assert (spec.launcher.name, spec.launcher.ranks) == ("slurm", 1)
            assert Assignment.of(made.kind, TUNE.run, spec).read_spec() == spec
    here = load(study_on(tmp_path, study_file, launcher, **changes, steps_on="here"), None).spec
    assert isinstance(here, StudySpec) and here.identity() == study.identity()
    assert [note for note in plan_study(here).notes if "handed to" in note] == [
        "pretrain: handed to slurm, 8 processes each"
    ]


def test_steps_need_a_cluster_and_say_so_in_one_line(study_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"steps_on: `launcher` needs `pretrain\.launcher` to be slurm or ray"):
        load(study_on(tmp_path, study_file, "local"), None)
    analysis = yaml.safe_load(study_file.read_text())["analysis"] | {"launcher": "slurm"}
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="launcher: set by the study"):
        load(study_on(tmp_path / "other", study_file, SLURM, analysis=analysis), None)


@pytest.mark.slow
def test_a_whole_study_is_done_by_slurm(
    study_file: Path, tmp_path: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four steps of it, one after the other: the programs that play Slurm know one job at a time."""
    monkeypatch.setattr(runner, "WAITED_FOR", 1)
    changes = {"doses": [0.25], "policies": {"keep": {"policy": "keep"}}, "methods": {"prompt": ROWS["prompt"]}}
    launcher = {**SLURM, "gpus_per_node": 1}
    study = load(study_on(tmp_path, study_file, launcher, **changes), None).spec
    assert isinstance(study, StudySpec)
    ledger = runner.run_steps(steps_of(study), tmp_path / "out", workers=1)
    assert [step.kind for step, _ in ledger.having("done")].count("analysis") == 2
    assert not ledger.having("failed") and len(ledger.paths) == len(ledger.steps)
    submitted = (slurm / "submitted").read_text()
    assert sum(name in submitted for name in ("pretrain-", "steer-", "measure-")) == 3
