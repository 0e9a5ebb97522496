"""Dolma documents and attributes: what is written is Dolma's format to the letter, and reads back as it was.

Covers curation.formats.dolma_export, curation.formats.dolma_spec and curation.sources.dolma_attributes.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.formats.dolma_export import export_dolma
from curation.formats.dolma_spec import DolmaAttributeSpec, attribute_file
from curation.sources.dolma_attributes import AttributeLines
from curation.sources.extract import UnreadableError
from curation.stage import CURATION
from infra.artifacts.artifact import Artifact
from infra.errors import ConfigError, DataError, InputError
from tests.helpers.corpora import SCORE, TAG, Curate, load, write_jsonl

SPECS = (
    DolmaAttributeSpec(folder="hormesis", key="hormesis__document__toxicity", score="toxicity"),
    DolmaAttributeSpec(folder="hormesis", key="hormesis__spans__toxicity", spans="toxicity"),
)
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
    names = [sorted(file.name for file in (root / folder).iterdir()) for folder in ("documents", "attributes/hormesis")]
    assert names == [["00000.json.gz", "00001.json.gz"]] * 2
    documents, attributes = lines(root / "documents" / names[0][0]), lines(root / "attributes/hormesis" / names[0][0])
    assert documents[0] == {"id": "0-0", "text": TEXTS[0], "source": "0.jsonl.gz", "metadata": {"year": 2023}}
    assert [record["id"] for record in attributes] == [record["id"] for record in documents]
    ((start, end, _),) = attributes[0]["attributes"]["hormesis__document__toxicity"]
    assert (start, end) == (0, len(TEXTS[0]))
    risky = [TEXTS[0][start:end] for start, end, score in attributes[0]["attributes"]["hormesis__spans__toxicity"]
             if score > 0.5]  # fmt: skip
    assert risky == ["idiot", "idiot"]


def test_a_document_without_spans_has_an_empty_list_and_an_untagged_corpus_no_key(
    tmp_path: Path, tagged: Artifact, curate: Curate
) -> None:
    export_dolma(tagged, tmp_path / "tagged")
    export_dolma(curate({"path": "data/*.jsonl.gz"}, out="untagged"), tmp_path / "untagged")
    keys = [[record["attributes"] for record in lines(tmp_path / name / "it/attributes/hormesis/00000.json.gz")]
            for name in ("tagged", "untagged")]  # fmt: skip
    assert keys[0][1]["hormesis__spans__toxicity"] == []
    assert all(list(attributes) == ["hormesis__document__toxicity"] for attributes in keys[1])


def test_the_same_corpus_exports_to_the_same_bytes(tmp_path: Path, tagged: Artifact) -> None:
    for name in ("one", "two"):
        export_dolma(tagged, tmp_path / name)
    files = [sorted((tmp_path / name).rglob("*.gz")) for name in ("one", "two")]
    assert len(files[0]) == 4
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_scores_and_spans_read_back_exactly(tmp_path: Path, tagged: Artifact) -> None:
    export_dolma(tagged, tmp_path / "dolma")
    corpus = TaggedCorpus.open(tagged.path, "it")
    for shard in corpus.shards:
        file = tmp_path / "dolma/it/documents" / shard.replace(".parquet", ".json.gz")
        with AttributeLines(str(file), SPECS) as attributes:
            for number, document in enumerate(corpus.documents_of(shard), start=1):
                assert attributes.at(number, document.id, document.text) == (document.scores, document.spans)


@pytest.fixture
def made(tmp_path: Path):
    """Attribute lines of one document file, made from what a test writes."""

    def make(*records: object) -> AttributeLines:
        file = tmp_path / "attributes" / "jigsaw" / "a.json.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
        specs = (DolmaAttributeSpec(folder="jigsaw", key="jigsaw__ft__toxic", score="toxicity", spans="toxicity"),)
        return AttributeLines(str(tmp_path / "documents" / "a.json.gz"), specs)

    return make


def row(*values: object, id: str = "1") -> dict:
    return {"id": id, "attributes": {"jigsaw__ft__toxic": list(values)}}


def test_a_score_is_the_highest_of_the_spans_and_lines_may_be_passed_over(made) -> None:
    with made(row([0, 1, 0.9]), row([5, 9, 0.2], [0, 5, 1.00001], id="2")) as attributes:
        scores, spans = attributes.at(2, "2", "The second")
    assert scores == {"toxicity": 1.0}
    assert [(span.start, span.end, span.score) for span in spans] == [(0, 5, 1.0), (5, 9, 0.2)]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (row([0, 4, 0.5], id="7"), "the attributes of 7 beside document 1"),
        (row([0, 5, 0.5]), "the span 0 to 5 in a text of 4 characters"),
        (row([-1, 3, 0.5]), "the span -1 to 3"),
        (row([0.0, 3, 0.5]), "the span 0.0 to 3"),
        (row([0, 4, 1.5]), "the score 1.5"),
        (row([0, 4, None]), "the score None"),
        (row([0, 4]), "no list of"),
        (row(), "is empty: no score"),
        ({"id": "1", "attributes": {"other": []}}, r'no key "jigsaw__ft__toxic" \(there is: other\)'),
        ({"id": "1"}, 'no object with the key "attributes"'),
        (["1"], 'no object with the key "attributes"'),
    ],
)
def test_attributes_that_are_not_the_documents_own_are_told(made, record: object, why: str) -> None:
    with made(record) as attributes, pytest.raises(UnreadableError, match=why):
        attributes.at(1, "1", "Text")


def test_a_short_or_vanished_attribute_file_stops_the_run(tmp_path: Path, made) -> None:
    with made(row([0, 4, 0.5])) as attributes, pytest.raises(DataError, match=r"a.json.gz:2: the attribute file ends"):
        attributes.at(2, "2", "Text")
    missing = DolmaAttributeSpec(folder="none", key="k", score="toxicity")
    with pytest.raises(DataError, match="was there when the run began, and is gone"):
        AttributeLines(str(tmp_path / "documents" / "a.json.gz"), (missing,)).__enter__()


def test_attribute_files_lie_beside_the_last_folder_named_documents() -> None:
    location = attribute_file("s3://b/documents/dolma/documents/x/a.json.gz", "jigsaw")
    assert location == "s3://b/documents/dolma/attributes/jigsaw/x/a.json.gz"
    with pytest.raises(InputError, match="below a folder named documents"):
        attribute_file("/data/a.json.gz", "jigsaw")


ATTRIBUTES = [
    {"folder": "hormesis", "key": "hormesis__document__toxicity", "score": "toxicity"},
    {"folder": "hormesis", "key": "hormesis__spans__toxicity", "spans": "toxicity"},
]


@pytest.fixture
def dolma(tmp_path: Path, tagged: Artifact) -> dict:
    """The tagged corpus as a source in Dolma's format."""
    export_dolma(tagged, tmp_path / "dolma")
    return {"path": "dolma/it/documents/*.json.gz", "id": "id", "attributes": ATTRIBUTES}


def test_a_corpus_comes_back_from_dolma_with_its_scores_and_spans(
    dolma: dict, tagged: Artifact, curate: Curate
) -> None:
    back = TaggedCorpus.open(curate(dolma, steps=[], out="back").path, "it")
    was = TaggedCorpus.open(tagged.path, "it")
    assert back.attributes == was.attributes and back.tagged
    read = [(document.id, document.text, document.scores, document.spans) for document in back.documents()]
    assert read == [(document.id, document.text, document.scores, document.spans) for document in was.documents()]


def test_attributes_are_part_of_the_fingerprint_and_a_missing_file_is_told_before_the_run(
    tmp_path: Path, dolma: dict
) -> None:
    spec = load(tmp_path, {"it": {"sources": [dolma]}})
    before = CURATION.fingerprint(spec)
    file = tmp_path / "dolma/it/attributes/hormesis/00001.json.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"0.", b"0.0")))
    assert CURATION.fingerprint(spec) != before
    file.unlink()
    with pytest.raises(InputError, match=r"attributes/hormesis/00001.json.gz: no such attribute file"):
        CURATION.fingerprint(spec)


def test_a_document_whose_attributes_are_broken_is_a_bad_line(tmp_path: Path, dolma: dict, curate: Curate) -> None:
    file = tmp_path / "dolma/it/attributes/hormesis/00000.json.gz"
    records = lines(file)
    records[1]["id"] = "another"
    file.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))
    artifact = curate(dolma, steps=[], max_bad_share=0.2, out="back")
    assert [document.id for document in TaggedCorpus.open(artifact.path, "it").documents()][:3] == ["0-0", "0-2", "0-3"]
    bad = json.loads((artifact.path / "quarantine.jsonl").read_text())
    assert (bad["line"], bad["reason"]) == (2, "attributes/hormesis: the attributes of another beside document 0-1")


@pytest.mark.parametrize(
    ("change", "steps", "why"),
    [
        ({"id": None}, [], "attributes need `id:`"),
        ({"path": "dolma/it/*.json.gz"}, [], "a path with /documents/ in it"),
        ({"after": "x"}, [], "leave out after"),
        ({"attributes": [{"folder": "a", "key": "k"}]}, [], "say what to do with it"),
        ({}, [{"step": "pii"}], "pii changes the text, and the attributes that corpus it"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, change: dict, steps: list, why: str) -> None:
    source = {"path": "dolma/it/documents/*.json.gz", "id": "id", "attributes": ATTRIBUTES, **change}
    with pytest.raises(ConfigError, match=why):
        load(tmp_path, {"it": {"sources": [source]}}, steps=steps)


def test_sources_of_one_corpus_bring_the_same_attributes(tmp_path: Path, dolma: dict, curate: Curate) -> None:
    with pytest.raises(ConfigError, match="must have the same attributes; here some give none and toxicity"):
        load(tmp_path, {"it": {"sources": [dolma, {"path": "data/*.jsonl.gz"}]}})
    with pytest.raises(InputError, match=r"the sources' attributes.* both give scores called .toxicity."):
        curate(dolma, steps=[SCORE], out="twice")
