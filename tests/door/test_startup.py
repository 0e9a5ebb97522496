"""The front door loads no library that `--help` and `validate` do not need (benchmarks/startup.py has the times)."""

from __future__ import annotations

import pytest

from benchmarks.startup import COMMANDS, loaded_by


@pytest.mark.parametrize("command", COMMANDS)
def test_no_heavy_library_is_loaded_before_it_is_needed(command):
    assert loaded_by(COMMANDS[command][0]) == []
