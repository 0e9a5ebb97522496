"""A corpus of many small files, and what one process makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.safety.chaos import contents, write_corpus
from curation.spec import CurationSpec
from curation.stage import CURATION
from infra.config.spec import load_spec
from infra.stages.stage import run_stage


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
