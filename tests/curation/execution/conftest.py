"""A Ray cluster of several raylets on this machine, started once, and a corpus of many small files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import contents, raylets, write_corpus
from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.spec import load_spec
from infra.stage import run_stage

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    """A head without workers and two nodes with room for two each; their workers can import `made_steps`."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'hormesis[ray]'")
    with raylets(nodes=2, cpus=2, path=(HERE,)) as started:
        yield started


@pytest.fixture(scope="session")
def curation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of a curation over eight small files."""
    return write_corpus(tmp_path_factory.mktemp("chaos"), files=8, lines=60)


@pytest.fixture(scope="session")
def undisturbed(curation: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of what one process makes of it."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    _, spec = load_spec(curation, {"curation": lambda: CurationSpec})
    return contents(run_stage(CURATION, spec, out, workers=1, quiet=True).path)
