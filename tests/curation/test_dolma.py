"""Dolma documents and attributes: what is written is Dolma's format to the letter, and reads back as it was."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from made_corpora import SCORE, TAG, Curate, write_jsonl

from curation.dolma.write import export_dolma
from infra.artifact import Artifact

TEXTS = ["You idiot 🙂, you idiot.", "… — …", "שלום, you idiot", "Nothing here either."]


@pytest.fixture
def tagged(tmp_path: Path, curate: Curate) -> Artifact:
    """A tagged corpus in two shards, with text outside ASCII."""
    for number in range(2):
        records = [{"text": text, "id": f"{number}-{row}", "year": 2023} for row, text in enumerate(TEXTS)]
        write_jsonl(tmp_path / "data" / f"{number}.jsonl.gz", records)
    return curate({"path": "data/*.jsonl.gz", "id": "id", "keep": ["year"]}, steps=[SCORE, TAG])


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).splitlines()]


def test_documents_and_attributes_stand_line_by_line_in_files_of_the_same_name(
    tmp_path: Path, tagged: Artifact
) -> None:
    export_dolma(tagged, tmp_path / "dolma")
    root = tmp_path / "dolma" / "it"
    names = [sorted(file.name for file in (root / part).iterdir()) for part in ("documents", "attributes/hormesis")]
    assert names == [["00000.json.gz", "00001.json.gz"]] * 2
    documents, attributes = lines(root / "documents" / names[0][0]), lines(root / "attributes/hormesis" / names[0][0])
    assert documents[0] == {"id": "0-0", "text": TEXTS[0], "source": "0.jsonl.gz", "metadata": {"year": 2023}}
    assert [each["id"] for each in attributes] == [each["id"] for each in documents]
    ((start, end, _),) = attributes[0]["attributes"]["hormesis__document__toxicity"]
    assert (start, end) == (0, len(TEXTS[0]))
    found = [TEXTS[0][start:end] for start, end, score in attributes[0]["attributes"]["hormesis__spans__toxicity"]
             if score > 0.5]  # fmt: skip
    assert found == ["idiot", "idiot"]


def test_a_document_without_spans_has_an_empty_list_and_an_untagged_corpus_no_key(
    tmp_path: Path, tagged: Artifact, curate: Curate
) -> None:
    export_dolma(tagged, tmp_path / "tagged")
    export_dolma(curate({"path": "data/*.jsonl.gz"}, out="untagged"), tmp_path / "untagged")
    keys = [[each["attributes"] for each in lines(tmp_path / name / "it/attributes/hormesis/00000.json.gz")]
            for name in ("tagged", "untagged")]  # fmt: skip
    assert keys[0][1]["hormesis__spans__toxicity"] == []
    assert all(list(each) == ["hormesis__document__toxicity"] for each in keys[1])


def test_the_same_corpus_exports_to_the_same_bytes(tmp_path: Path, tagged: Artifact) -> None:
    for name in ("one", "two"):
        export_dolma(tagged, tmp_path / name)
    files = [sorted((tmp_path / name).rglob("*.gz")) for name in ("one", "two")]
    assert len(files[0]) == 4
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
