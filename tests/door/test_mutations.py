"""A seeded part of `python -m benchmarks.mutations`: whatever stands in a file, one message, with file:line."""

import pytest

from benchmarks.mutations.__main__ import ask
from benchmarks.mutations.inputs import copied
from benchmarks.mutations.judge import OFFLINE, unplaced


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    return copied(tmp_path)


def test_mutated_files_get_one_message_with_its_line(root):
    answers = [attempt for number in range(60) for attempt in ask(root, 11, number)]
    assert not [attempt for attempt in answers if attempt.answer.fault and not attempt.answer.fault.startswith("took ")]
    assert {attempt.answer.code for attempt in answers} == {0, 2}


def test_a_refusal_without_a_line_or_without_a_word_is_noticed(tmp_path):
    file = tmp_path / "a.yaml"
    assert not unplaced(file, f"{file}:3: steps: wrong\n1 problem(s) in the configuration; nothing was run\n")
    assert not unplaced(file, f"error: {file}: no such file\n")
    assert unplaced(file, "error: runs/demo: not a curation artifact\n") and unplaced(file, "")
