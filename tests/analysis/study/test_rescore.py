"""`hormesis rescore`: one more scorer without a model, with the bytes of a run that had both from the start.

Covers analysis.study.rescore, infra.config.asked. A study is rescored in test_study.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluations.base import LazyModel
from analysis.stage import ANALYSIS
from analysis.study.rescore import rescored, with_scorer
from infra.artifacts.artifact import read_artifact
from infra.config.asked import ASKED_FILE, asking, keep_asked, read_asked
from infra.config.document import YamlDocument
from infra.config.extends import Anchored, anchored
from infra.config.spec import validate
from infra.errors import InputError
from infra.stages.stage import run_stage

TWICE = "{name: ensemble, scorers: [{name: profanity}, {name: profanity}]}"


@pytest.fixture
def document(tiny_model: Path, mixture: Path, tmp_path: Path) -> YamlDocument:
    """An analysis with generations, what looks at them, and a price."""
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"text": f"the man number {i} said"}) + "\n" for i in range(4)))
    toxicity = {
        "prompts": {"path": "prompts.jsonl"},
        "samples": 2,
        "max_new_tokens": 6,
        "scorer": {"name": "profanity"},
    }
    beside = {"cross_entropy": {"component": "clean", "max_documents": 5}, "fluency": {}}
    subject = {"kind": "analysis", "name": "tiny", "model": str(tiny_model), "mixture": str(mixture)}
    return YamlDocument(tmp_path / "tiny.yaml", subject | {"toxicity": toxicity, **beside})


def measured(document: YamlDocument, target: Path) -> Path:
    """The analysis of a document, with the document beside it."""
    artifact = run_stage(ANALYSIS, validate(document, ANALYSIS.spec), target, quiet=True)
    with asking(document):
        keep_asked(artifact.path)
    return artifact.path


@pytest.mark.parametrize("as_first", [False, True])
def test_an_analysis_gets_a_scorer_without_its_model_and_has_the_bytes_of_both_from_the_start(
    document: YamlDocument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_first: bool
) -> None:
    folder = measured(document, tmp_path / "runs" / "tiny")
    first, second = ({"name": "profanity"}, {"name": "ensemble", "scorers": [{"name": "profanity"}] * 2})
    scorers = {"scorer": second, "also": [first]} if as_first else {"scorer": first, "also": [second]}
    both = YamlDocument(document.path, document.data | {"toxicity": document.data["toxicity"] | scorers})
    expected = measured(both, tmp_path / "other" / "tiny")
    monkeypatch.setattr(LazyModel, "loaded", property(_not_to_be_loaded))
    artifact = rescored(folder, TWICE, as_first, workers=1)
    assert artifact.path != folder and artifact.fingerprint == read_artifact(expected).fingerprint
    assert (artifact.path / "results.parquet").read_bytes() == (expected / "results.parquet").read_bytes()
    assert read_asked(artifact.path).data["toxicity"]["also"] == scorers["also"]
    with pytest.raises(InputError, match="has scored it already"):
        rescored(artifact.path, TWICE, as_first, workers=1)


def _not_to_be_loaded(*_: object) -> Any:
    raise AssertionError("a model is loaded")


def test_what_would_have_to_be_generated_is_refused(document: YamlDocument, tmp_path: Path) -> None:
    folder = measured(document, tmp_path / "runs" / "tiny")
    shutil.rmtree(next((tmp_path / "runs" / "store").glob("measured-toxicity-*")))
    with pytest.raises(InputError, match="what toxicity measured is not in"):
        rescored(folder, TWICE, False, workers=1)


def test_what_cannot_be_rescored_is_refused(document: YamlDocument, mixture: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a mixture artifact"):
        rescored(mixture, "profanity", False, workers=1)
    folder = measured(document, tmp_path / "runs" / "tiny")
    (folder / ASKED_FILE).unlink()
    with pytest.raises(InputError, match="does not say what it was made from"):
        rescored(folder, TWICE, False, workers=1)
    silent = YamlDocument(document.path, document.data | {"toxicity": None})
    with pytest.raises(InputError, match="nothing to rescore"):
        with_scorer(silent, {"name": "profanity"}, False)


def test_paths_of_what_a_file_extends_stay_where_they_were(tmp_path: Path) -> None:
    base = anchored({"toxicity": {"prompts": [{"path": "prompts.jsonl"}]}}, tmp_path / "base")
    document = YamlDocument(tmp_path / "a.yaml", {"kind": "analysis", **base})
    with asking(document):
        keep_asked(tmp_path)
    again = read_asked(tmp_path)
    path = again.data["toxicity"]["prompts"][0]["path"]
    assert again.data == document.data and again.path == document.path
    assert isinstance(path, Anchored) and path.folder == tmp_path / "base"
    assert not isinstance(again.data["kind"], Anchored)
