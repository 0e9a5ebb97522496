"""What the machine refuses is told in one message and its exit code: full disks, odd places, terminals in ASCII.

Covers infra.errors.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import ROOT

SPEC = {"kind": "curation", "name": "job", "corpora": {"c": {"sources": [{"path": "a.jsonl"}]}}, "steps": []}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def hormesis(folder, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-m", "hormesis", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "A fine day."}\n')
    (tmp_path / "c.yaml").write_text(json.dumps(SPEC))
    return tmp_path


@pytest.mark.parametrize("out", [".", "a.jsonl/x", "s3://bucket/x"])
def test_a_result_that_cannot_be_written_there_is_refused_before_anything_runs(folder, out):
    done = hormesis(folder, "run", "c.yaml", "--workers", "1", "--out", out)
    assert done.returncode == 2 and done.stderr.startswith(f"error: --out {out}:"), done.stderr
    assert sorted(os.listdir(folder)) == ["a.jsonl", "c.yaml"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_where_no_folder_can_be_made_that_is_said_and_not_waited_for(folder):
    done = hormesis(folder, "run", "c.yaml", "--workers", "1", "--out", "/proc/none/x", timeout=60)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_standard_output_is_one_message(folder):
    with open("/dev/full", "wb") as full:
        done = hormesis(folder, "schema", "study", stdout=full)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no space left" in done.stderr


def test_a_terminal_in_ascii_shows_what_it_can(folder):
    done = hormesis(folder, "validate", "größe…\udcff.yaml", stdout=subprocess.PIPE, env=ASCII)
    assert done.returncode == 2 and "Traceback" not in done.stderr and "no such file" in done.stderr
    done = hormesis(folder, "plan", "c.yaml", stdout=subprocess.PIPE, env=ASCII)
    assert done.returncode == 0, done.stderr
