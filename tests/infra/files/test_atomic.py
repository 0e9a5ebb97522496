"""A write is all or nothing, also when the process is killed in the middle."""

import signal
import subprocess
import sys
import textwrap

import pytest

from infra.atomic import TEMPORARY, atomic_path, remove_temporaries, write_json, write_text
from tests.helpers import ROOT


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path):
    target = tmp_path / "file"
    write_text(target, "old")
    with pytest.raises(RuntimeError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nan_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_files_get_the_usual_permissions(tmp_path):
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_sigkill_in_the_middle_leaves_the_old_file_and_a_temporary_that_is_removed(tmp_path):
    target = tmp_path / "file"
    write_text(target, "old")
    program = f"""
        import os, signal
        from pathlib import Path
        from infra.atomic import atomic_path
        with atomic_path(Path({str(target)!r})) as temporary:
            temporary.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert [path for path in tmp_path.iterdir() if path.name.startswith(TEMPORARY)]
    remove_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
