"""A tiny wheel, clean sentences, and the stage run on them the way the command line runs it."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from curation.stage import CURATION
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest_file
from infra.stages.stage import run_stage
from tests.helpers.classifiers import save_classifier, save_detoxify
from tests.helpers.corpora import SENTENCES, Curate, load


@pytest.fixture
def curate(tmp_path: Path) -> Curate:
    """Curate one corpus `it` out of sources, into a fresh folder; returns the artifact."""

    def run(
        *sources: dict, workers: int = 1, out: str = "out", limit: int | None = None, **settings: object
    ) -> Artifact:
        corpus = {"sources": list(sources), **({"limit": limit} if limit else {})}
        spec = load(tmp_path, {"it": corpus}, **settings)
        return run_stage(CURATION, spec, tmp_path / out, workers=workers, quiet=True)

    return run


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny wheel in the download cache, `toy-data==1.0`; returns its checksum."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("HORMESIS_CACHE", str(cache))
    (cache / "wheels").mkdir(parents=True)
    file = cache / "wheels" / "toy_data-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("toy/__init__.py", "raise SystemExit('a wheel must never be imported')")
        for name in ("a", "b"):
            lines = "".join(json.dumps({"doc": {"passage": f"{name} {number // 2}"}}) + "\n" for number in range(6))
            archive.writestr(f"toy/{name}/requests.jsonl.gz", gzip.compress(lines.encode(), mtime=0))
        archive.writestr("toy/prompts.txt", "One prompt\nAnother prompt\n")
    return digest_file(file)


@pytest.fixture
def sentences(tmp_path: Path) -> dict:
    """A source of 64 clean sentences."""
    (tmp_path / "sentences.txt").write_text("\n".join(SENTENCES))
    return {"path": str(tmp_path / "sentences.txt")}


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sequence classifier of three exclusive classes, as a folder of transformers."""
    return save_classifier(tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def detoxify_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same as a checkpoint in detoxify's format, and the folder of its base model."""
    return save_detoxify(tmp_path_factory.mktemp("models") / "detoxify")
