"""The command line: one clear message and the right exit code for every mistake, never a traceback.

Covers hormesis.py and infra.doctor.
"""

import json
import subprocess
import sys

import pytest

import hormesis as front_door
from tests.helpers import ROOT


def in_a_new_process(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "hormesis", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT
    )


@pytest.fixture
def hormesis(monkeypatch, capsys):
    """The command line in this process, which has imported everything: what it prints and its exit code."""
    monkeypatch.chdir(ROOT)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["hormesis", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            front_door.main()
        return subprocess.CompletedProcess(arguments, left.value.code or 0, *capsys.readouterr())

    return run


def refused(done, *words):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in " ".join(done.stderr.split()), done.stderr
    return done


@pytest.mark.parametrize(
    "file", sorted([*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("benchmarks/*/*.yaml")]), ids=lambda path: path.name
)
def test_every_shipped_file_is_valid(file, hormesis):
    done = hormesis("validate", file)
    assert done.returncode == 0, done.stderr
    assert f"{file}: ok" in done.stdout


def test_validate_names_every_problem_of_a_study_with_its_line(tmp_path, hormesis):
    text = (ROOT / "examples/quickstart.yaml").read_text()
    text = text.replace("sequence_length: 128", "sequence_lenght: 128").replace("seeds: [0, 1]", "seeds: [a]")
    (tmp_path / "s.yaml").write_text(text)
    lines = text.splitlines()
    line = 1 + next(index for index, text_line in enumerate(lines) if "sequence_lenght" in text_line)
    refused(hormesis("validate", tmp_path / "s.yaml"), f"s.yaml:{line}: mixture.sequence_lenght: unknown key",
            'did you mean "sequence_length"', "s.yaml:4: seeds[0]")  # fmt: skip


def test_a_key_that_the_study_sets_is_refused(tmp_path, hormesis):
    text = (ROOT / "examples/quickstart.yaml").read_text().replace("pretrain:\n", "pretrain:\n  seed: 3\n")
    (tmp_path / "s.yaml").write_text(text)
    refused(hormesis("validate", tmp_path / "s.yaml"), "seed: set by the study")


@pytest.mark.parametrize(
    "override", ["doses=[0, 1.5]", "doses=[0, 0]", "dose_of=nothing", "methods={itti: {}}", "policies={}",
                 "seeds=[0, 0]", "seeds=[-1]", "seeds=[.nan]", "doses=[0, 0.0]", "doses=[0, 0.1, 0.10000001]",
                 "doses=[.nan]", "doses=[-0.1]", "doses=[.inf]", "methods.iti.strengths=[1, 1.0]",
                 "methods.iti.strengths=[1, 1.0000001]", "methods.iti.strengths=[.nan]", "methods.iti.strengths=[.inf]",
                 "ce_budget=.inf", "ce_budget=-1", "pretrain.optimizer.lr=.inf", "pretrain.optimizer.lr=.nan"]
)  # fmt: skip
def test_impossible_grids_are_refused(override, hormesis):
    refused(hormesis("validate", "examples/quickstart.yaml", "--set", override), override.split("=")[0].rstrip("s"))


def test_schema_describes_every_kind_without_the_keys_that_a_study_fills_in(hormesis):
    for kind in (
        "curation",
        "calibration",
        "fasttext",
        "mixture",
        "swarm",
        "pretrain",
        "posttrain",
        "analysis",
        "study",
    ):
        schema = json.loads(hormesis("schema", kind).stdout)
        assert schema["properties"]["kind"] == {"const": kind}
        assert schema["additionalProperties"] is False
    assert schema["properties"]["mixture"]["additionalProperties"] is False
    assert "curation" not in schema["properties"]["mixture"]["properties"]
    assert "sequence_length" in schema["properties"]["mixture"]["required"]


def test_unknown_names_get_the_nearest(hormesis):
    refused(hormesis("schema", "mixtur"), 'did you mean "mixture"')


def test_missing_files_and_folders_are_named(tmp_path):
    refused(in_a_new_process("run", tmp_path / "none.yaml"), "none.yaml: no such file")
    refused(in_a_new_process("show", tmp_path), "not an artifact")
    refused(in_a_new_process("status", tmp_path / "nothing"), "no artifact, no study and no work in progress")
    refused(in_a_new_process("lineage", tmp_path), "not an artifact")


def test_doctor_finds_this_machine_fit(hormesis):
    done = hormesis("doctor")
    assert done.returncode == 0
    assert "megatron-core" in done.stdout and "processors" in done.stdout


def test_plan_of_the_quickstart_counts_tokens_and_steps_before_anything_exists():
    done = in_a_new_process("plan", "examples/quickstart.yaml")
    assert done.returncode == 0, done.stderr
    assert "10 models" in done.stdout
    assert "30,000" in done.stdout and "90,000" in done.stdout  # 10 % and 25 % of the total over 270,000 clean tokens
