"""Open files: the soft limit is raised up to the hard one, and what cannot be had is said with what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

_LIMITED = """
import resource, sys
from infra.errors import InputError
from infra.files.open_files import allow, require

soft, hard, count = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow(count))
held = [open("/dev/null") for _ in range(allow(count))]
print(len(held), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
try:
    require(count, "exact_dedup")
except InputError as error:
    print(error)
"""


def limited(soft: int, hard: int, count: int) -> list[str]:
    """What a process of its own prints, since a hard limit cannot be raised again."""
    command = [sys.executable, "-c", _LIMITED, str(soft), str(hard), str(count)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_low_soft_limit_is_raised_as_far_as_needed_and_the_files_do_open() -> None:
    allowed, opened, *_ = limited(80, 1000, 300)
    held, soft = map(int, opened.split())
    assert int(allowed) == held == 300
    assert 300 < soft < 1000


def test_a_soft_limit_that_is_high_enough_stays() -> None:
    assert limited(900, 1000, 100)[1] == "100 900"


@pytest.mark.parametrize("soft", [80, 200])
def test_a_hard_limit_is_not_exceeded_and_the_error_says_what_to_do(soft: int) -> None:
    allowed, opened, message = limited(soft, 200, 300)
    assert 100 < int(allowed) < 200
    assert int(allowed) == int(opened.split()[0])
    assert message.startswith("exact_dedup opens 300 files at once")
    assert "ulimit -n" in message
