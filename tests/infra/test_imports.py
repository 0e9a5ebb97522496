"""Imports stand at the top of a file, but for what a command should not wait for."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("infra", "curation", "mixtures", "pretrain", "posttrain", "analysis")
MOST = 8
"""Imports inside functions per 1,000 lines."""


def trees() -> Iterator[tuple[ast.Module, int]]:
    """Every module of the product, and its lines that are neither empty, nor comments, nor docstrings."""
    for file in [ROOT / "hormesis.py", *(file for floor in FLOORS for file in (ROOT / floor).rglob("*.py"))]:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
        prose = {
            line
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        code = [
            line
            for number, line in enumerate(text.splitlines(), 1)
            if number not in prose and line.strip() and not line.lstrip().startswith("#")
        ]
        yield tree, len(code)


def inner_imports(tree: ast.Module) -> int:
    """Imports that run when a function does."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return len({id(node) for function in functions for node in ast.walk(function)
                if isinstance(node, (ast.Import, ast.ImportFrom))})  # fmt: skip


def test_few_imports_stand_inside_functions():
    lines, imports = 0, 0
    for tree, code in trees():
        lines, imports = lines + code, imports + inner_imports(tree)
    assert lines > 20_000
    assert 1000 * imports / lines <= MOST
