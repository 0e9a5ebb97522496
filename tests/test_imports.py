"""No two modules import each other, by whatever way round: the import graph of the floors has no circle."""

from __future__ import annotations

from graphlib import TopologicalSorter

import grimp
import pytest

FLOORS = ("infra", "curation", "mixtures", "pretrain", "posttrain", "analysis")


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Module -> modules that it imports: at the top, in a function, or for type checkers alone."""
    graph = grimp.build_graph(*FLOORS, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def test_imports_have_no_circle(imports: dict[str, set[str]]) -> None:
    tuple(TopologicalSorter(imports).static_order())  # raises CycleError, which names the modules of the circle
