"""A study from YAML to report: nothing is done twice, a kill costs nothing, a failed arm stops only what needs it.

Covers analysis.study.stage, analysis.study.runner, analysis.study.ledger, analysis.study.pool, analysis.study.kinds
and analysis.study.assemble.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from infra.artifacts.artifact import read_artifact, verify
from tests.analysis.study.conftest import sentence
from tests.helpers import ROOT


def command(*arguments):
    return [sys.executable, "-m", "hormesis", *map(str, arguments)]


def hormesis(*arguments):
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT)


def contents(folder):
    """Digest of every mixture file and results table of a study, by step and name."""
    files = [*folder.glob("steps/mixture-*/**/*"), *folder.glob("steps/*/results.parquet"), folder / "results.parquet"]
    compared = [file for file in files if file.is_file() and file.name != "artifact.json"]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in compared}


def times(folder):
    """When each file below a study was last written, but for the list of steps that `status` reads."""
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".steps.json"
    }


@pytest.fixture(scope="session")
def finished(study_file):
    """The study, run without disturbance, by one worker: two need twice the imports."""
    out = study_file.parent / "whole"
    done = hormesis("run", study_file, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return out


def test_the_report_answers_in_one_sentence_and_is_self_contained(finished):
    page = (finished / "report.html").read_text()
    assert "synthetic" in page
    assert "<script src=" not in page and "<link" not in page
    table = pl.read_parquet(finished / "results.parquet")
    assert set(table["method"]) == {"none", "prompt", "iti", "random", "sasa", "both"}
    found = table.filter(pl.col("budget").is_not_null())
    assert set(found["method"]) == {"iti"} and set(found["budget"]) == {0.05}
    assert "Strengths found for budgets" in page and "iti at 0.05 nats (strength" in page
    assert set(table["evaluation"]) == {"toxicity", "cross_entropy", "probes"}
    arms = table.select("dose", "policy").unique().sort("dose", "policy").rows()
    assert arms == [(0.0, "keep"), (0.25, "keep"), (0.25, "mask")]
    shown = hormesis("show", finished)
    assert shown.returncode == 0, shown.stderr


def test_every_step_is_an_artifact_whose_checksums_hold(finished):
    steps = [path for path in (finished / "steps").iterdir() if path.name != "store"]
    assert len(steps) == 1 + 2 + 3 + 3 * 4 + 3 * 6  # `both` has no fit of its own
    for path in steps:
        verify(read_artifact(path))


def test_a_second_run_does_nothing_and_says_so(finished):
    before = times(finished)
    done = hormesis("run", finished.parent / "study.yaml", "--out", finished)
    assert done.returncode == 0 and "nothing to do" in done.stderr
    assert times(finished) == before


def test_a_study_gets_a_scorer_and_a_new_report_beside_the_earlier_one(finished, tmp_path):
    twice = "{name: ensemble, scorers: [{name: profanity}, {name: profanity}]}"
    study = Path(shutil.copytree(finished, tmp_path / "study"))
    made = {file: stamp for file, stamp in times(study).items() if "steps" in file.parts}
    done = hormesis("rescore", study, "--scorer", twice, "--workers", 1)
    assert done.returncode == 0, done.stderr
    after = times(study)
    assert {file: after[file] for file in made} == made  # nothing that was there is written anew
    new = {file.parent.name for file in after.keys() - made.keys() if "steps" in file.parts}
    assert new and all(name.startswith("measure-") for name in new)  # and nothing is in the store that was not
    table, earlier = (pl.read_parquet(folder / "results.parquet") for folder in (study, *(study / "earlier").iterdir()))
    assert table["value"].equals(earlier["value"]) and table["generation"].equals(earlier["generation"])
    toxicity = table.filter(pl.col("evaluation") == "toxicity", pl.col("reason").is_null())
    assert set(toxicity["scores"].list.len()) == {2}
    changed = json.loads((study / ".asked.json").read_text())["data"]
    assert [scorer["name"] for scorer in changed["analysis"]["toxicity"]["also"]] == ["ensemble"]
    yaml = finished.parent / "both.yaml"
    yaml.write_text(json.dumps(changed))
    again = hormesis("run", yaml, "--out", study, "--workers", 1)
    assert again.returncode == 0 and "nothing to do" in again.stderr, again.stderr


def test_status_and_lineage_know_every_step(finished):
    status = hormesis("status", finished)
    assert status.stdout.count("done") >= 27
    lineage = hormesis("lineage", finished)
    assert lineage.returncode == 0 and "curation" in lineage.stdout


@pytest.mark.slow
def test_sigkill_at_five_random_moments_changes_no_byte(finished, study_file):
    out = study_file.parent / "killed"
    rng = random.Random(time.time_ns())
    for _ in range(5):
        process = subprocess.Popen(command("run", study_file, "--out", out, "--workers", 2), cwd=ROOT,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        time.sleep(rng.uniform(1.0, 14.0))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = hormesis("run", study_file, "--out", out, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(finished)
    assert not list(out.glob("steps/.*.partial"))


@pytest.mark.slow
def test_a_killed_worker_costs_a_retry_and_no_byte(finished, study_file, tmp_path):
    """Two models of the finished study are trained again; one of the two workers is killed at it."""
    out = tmp_path / "bereft"
    shutil.copytree(finished, out)
    (out / "artifact.json").unlink()
    for step in (*out.glob("steps/pretrain-dose-0.25-*"), *out.glob("steps/measure-dose-0.25-*")):
        shutil.rmtree(step)
    process = subprocess.Popen(command("run", study_file, "--out", out, "--workers", 2), cwd=ROOT)
    while process.poll() is None and not list(out.glob("steps/.pretrain-*.partial")):
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait() == 0
    assert contents(out) == contents(finished)


TUNED = """
tunes:
  sft:
    method: {name: sft, data: {path: pairs.jsonl}, learning_rate: 1.0e-3, batch_size: 4, max_steps: 40}
    checkpoint_every: 10
    log_every: 10
methods:
  tuned: {method: none, tune: sft}
  tuned-iti: {method: iti, tune: sft, budgets: [0.2], options: {top_heads: 2}}
"""


@pytest.fixture
def tuned_file(study_file):
    """The study with other methods: a tuned model, plain and steered."""
    rng = random.Random(3)
    pairs = [{"prompt": sentence(rng), "chosen": f" {sentence(rng)}", "rejected": " You idiot."} for _ in range(40)]
    (study_file.parent / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    text = study_file.read_text()
    before, rest = text[: text.index("methods:")], text[text.index("\nanalysis:") :]
    path = study_file.parent / "tuned.yaml"
    path.write_text(before + TUNED.strip() + rest)
    return path


@pytest.mark.slow
def test_a_study_that_is_killed_while_it_tunes_goes_on_and_changes_no_byte(finished, tuned_file, tmp_path):
    """Mixtures and trainings are those of the finished study; the command is killed when a tune is at work."""
    for name in ("whole", "killed"):
        shutil.copytree(finished, tmp_path / name)
        (tmp_path / name / "artifact.json").unlink()
    arguments = ("--workers", 1, "--set", "doses=[0.25]", "--set", "policies={keep: {policy: keep}}")
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command("run", tuned_file, "--out", killed, *arguments), cwd=ROOT)
    while process.poll() is None and not list(killed.glob("steps/.tune-*.partial/*")):
        time.sleep(0.05)
    time.sleep(2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(killed.glob("steps/measure-*-tuned-*"))
    for out in (killed, whole):
        done = hormesis("run", tuned_file, "--out", out, *arguments)
        assert done.returncode == 0, done.stderr
    assert contents(killed) == contents(whole)
    table = pl.read_parquet(killed / "results.parquet")
    assert set(table["method"]) == {"none", "tuned", "tuned-iti"}
    assert "tuned-iti at 0.2 nats" in (killed / "report.html").read_text()


def test_a_failed_arm_is_reported_and_the_others_are_finished(finished, study_file):
    """One mixture asks for more risky tokens than there are; the clean arm is measured all the same."""
    out = study_file.parent / "failing"
    done = hormesis("run", study_file, "--out", out, "--workers", 1,
                    "--set", "doses=[0, 0.99]", "--set", "methods={}")  # fmt: skip
    assert done.returncode == 1
    assert "mixture-dose-0.99" in done.stderr and "Traceback" not in done.stderr
    states = {step["name"]: step["state"] for step in json.loads((out / ".steps.json").read_text())}
    assert states["mixture-dose-0.99"] == "failed"
    assert states["pretrain-dose-0.99-keep-seed0"] == "skipped"
    assert states["measure-dose-0-keep-seed0-none-0"] == "done"
    assert "mixture-dose-0.99" in (out / "report.html").read_text()
    assert set(pl.read_parquet(out / "results.parquet")["dose"]) == {0.0}


@pytest.fixture
def unreported(finished, tmp_path):
    """The finished study without its report: there is little to do, and two commands meet at it."""
    out = tmp_path / "study"
    shutil.copytree(finished, out)
    (out / "artifact.json").unlink()
    return out


def test_the_same_study_twice_at_once_is_done_once_and_both_commands_say_so(unreported, study_file):
    arguments = command("run", study_file, "--out", unreported, "--workers", 1)
    both = [subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    messages = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], messages
    assert sorted(("report: " in text, "nothing to do" in text) for text in messages) == [(False, True), (True, False)]
    assert not any("Traceback" in text for text in messages)
    verify(read_artifact(unreported))
    assert not list(unreported.glob(".study*")) and not (unreported / "earlier").exists()


def test_a_damaged_report_is_said_to_be_and_made_anew(finished, unreported, study_file):
    shutil.copy(finished / "artifact.json", unreported)
    answer = (unreported / "answer.json").read_bytes()
    (unreported / "answer.json").write_bytes(answer[:-2] + b"!\n")
    (unreported / "report.html").unlink()
    done = hormesis("run", study_file, "--out", unreported, "--workers", 1)
    assert done.returncode == 0 and "the report is made anew" in done.stderr, done.stderr
    assert (unreported / "answer.json").read_bytes() == answer
    verify(read_artifact(unreported))
    assert [path.read_bytes()[-2:] for path in unreported.glob("earlier/*/answer.json")] == [b"!\n"]


def test_a_report_is_not_made_of_damaged_measurements(unreported, study_file):
    table = next(unreported.glob("steps/measure-*/results.parquet"))
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    done = hormesis("run", study_file, "--out", unreported, "--workers", 1)
    assert done.returncode == 1 and f"{table}: content differs" in " ".join(done.stderr.split()), done.stderr
    assert not (unreported / "artifact.json").exists()


def test_a_folder_that_is_no_study_is_left_alone(tmp_path, study_file, finished):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("thesis")
    shutil.copytree(finished / "steps" / "curation", tmp_path / "curated")
    for out, words in (("mine", "is not a study"), ("curated", "holds a curation artifact")):
        done = hormesis("run", study_file, "--out", tmp_path / out)
        assert done.returncode == 2 and words in " ".join(done.stderr.split()), done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["report.html"]
