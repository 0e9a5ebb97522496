"""A curated artifact and a mixture over it, made once for all tests of this floor."""

from __future__ import annotations

from pathlib import Path

import pytest

from mixtures.reading.built import BuiltMixture
from tests.helpers.tagged_corpora import build, clean_documents, mixture_spec, risky_documents, write_curation


@pytest.fixture(scope="session")
def curation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curation artifact with the corpora `clean` (200 documents) and `forum` (120)."""
    folder = tmp_path_factory.mktemp("curated") / "demo"
    return write_curation(folder, {"clean": clean_documents(200), "forum": risky_documents(120)})


@pytest.fixture(scope="session")
def mixture(curation: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltMixture:
    """The ordinary mixture, built once."""
    return build(mixture_spec(curation), tmp_path_factory.mktemp("built") / "m")
