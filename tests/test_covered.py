"""Every module has a test file of its name, or one whose docstring says that it covers it."""

from __future__ import annotations

import ast

import pytest

from tests.helpers import ROOT

FLOORS = ("infra", "curation", "mixtures", "pretrain", "posttrain", "analysis")
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
NAMES = {test.stem.removeprefix("test_") for test in TESTS}
COVERED = " ".join(ast.get_docstring(ast.parse(test.read_text())) or "" for test in TESTS).replace(",", " ").split()
MODULES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for floor in FLOORS
    for file in sorted((ROOT / floor).rglob("*.py"))
    if file.stem != "__init__"
]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_covered(module: str) -> None:
    assert module.rpartition(".")[2] in NAMES or {module, f"{module}."} & set(COVERED)
