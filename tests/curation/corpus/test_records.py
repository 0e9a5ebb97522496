"""Records as forums and other programs give them: NaN, absent keys, long ids, nested keys, booleans.

Covers curation.corpus.records, curation.formats.json_line and curation.sources.extract.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.corpus.records import Document
from curation.corpus.tagged import TaggedCorpus
from curation.formats.json_line import JSONDecodeError, json_value
from infra.artifacts.artifact import Artifact
from infra.errors import DataError, InputError, RanksFailed
from tests.helpers.corpora import write_jsonl

Curate = Callable[..., Artifact]
LONG = 123456789012345678901234567890


def documents(artifact: Artifact) -> list[Document]:
    return list(TaggedCorpus.open(artifact.path, "it").documents())


def removed(artifact: Artifact) -> dict[str, Any]:
    return dict(json.loads((artifact.path / "manifest.json").read_text())["corpora"]["it"]["removed"])


def test_nan_and_infinity_are_null_wherever_they_stand(tmp_path: Path, curate: Curate) -> None:
    deep = {"a": [float("nan"), {"b": float("-inf")}], "NaN": 'NaN, Infinity \\" NaN'}
    lines = [{"text": 'NaN stays "NaN" here', "x": float("inf")}, {"text": "two", "x": deep}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    artifact = curate({"path": "a.jsonl", "keep": ["x"]}, max_bad_share=0)
    first, second = documents(artifact)
    assert (first.text, first.metadata) == ('NaN stays "NaN" here', {"x": None})
    assert second.metadata == {"x": {"a": [None, {"b": None}], "NaN": deep["NaN"]}}
    for table in (artifact.path / "corpora").rglob("*.parquet"):
        for text in pq.read_table(table)["metadata"].to_pylist():
            json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("line", [b'{"x": nan}', b'{"x": NaNs}', b'{"x": -NaN}', b'{"x": 1Infinity}', b'{"x": NaN',
                                  b'{"x": "NaN}'])  # fmt: skip
def test_what_no_program_writes_stays_a_bad_line(line: bytes) -> None:
    with pytest.raises(JSONDecodeError):
        json_value(line)


def test_absent_keys_are_null_and_a_text_that_is_absent_is_left_out(tmp_path: Path, curate: Curate) -> None:
    lines = [{"no": 1, "com": "one", "sub": "s"}, {"no": 2, "tim": 5}, {"com": "three"}, {"no": None, "com": "four"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    artifact = curate({"path": "a.jsonl", "text": "com", "id": "no", "keep": ["sub", "user.name"]}, max_bad_share=0)
    assert [(document.id, document.metadata["sub"]) for document in documents(artifact)] == [
        ("1", "s"), ("0/a.jsonl:3", None), ("0/a.jsonl:4", None),
    ]  # fmt: skip
    assert removed(artifact) == {"read": {'no key "com"': 1}}
    assert any("no document has user.name, which `keep` asks for" in note for note in artifact.notes)


def test_under_strict_an_absent_key_is_a_bad_line(tmp_path: Path, curate: Curate) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one", "a": {"b": 1}}\n{"text": "two", "a": {}}\n')
    with pytest.raises(DataError, match=r'^a.jsonl:2: no key "a.b" \(there is: \)'):
        curate({"path": "a.jsonl", "keep": ["a.b"], "strict": True})


def test_ids_keep_all_their_digits(tmp_path: Path, curate: Curate) -> None:
    ids = [str(LONG), "18446744073709551616", "-9223372036854775809", "1.5", '"007"', "1e30"]
    lines = [f'{{"text": "text {n}", "id": {name}, "in": {{"a": [{name}]}}}}\n' for n, name in enumerate(ids)]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    steps = [{"step": "exact_dedup"}]  # so that documents are stored between two passes
    stored = documents(curate({"path": "a.jsonl", "id": "id", "keep": ["in"]}, steps=steps, max_bad_share=0))
    assert [document.id for document in stored] == [*ids[:4], "007", "1e+30"]
    assert [document.metadata["in"]["a"] for document in stored[:3]] == [[int(name)] for name in ids[:3]]


def test_unsigned_ids_of_parquet_keep_all_their_digits(tmp_path: Path, curate: Curate) -> None:
    ids = pa.array([2**64 - 1, None, 5], pa.uint64())
    score = pa.array([float("nan"), 1.0, None])
    pq.write_table(pa.table({"text": ["a", "b", "c"], "id": ids, "score": score}), tmp_path / "a.parquet")
    stored = documents(curate({"path": "a.parquet", "id": "id", "keep": ["id", "score", "gone"]}, max_bad_share=0))
    assert [document.id for document in stored] == ["18446744073709551615", "0/a.parquet:2", "5"]
    assert [document.metadata for document in stored] == [
        {"id": 2**64 - 1, "score": None, "gone": None}, {"id": None, "score": 1.0, "gone": None},
        {"id": 5, "score": None, "gone": None},
    ]  # fmt: skip


@pytest.mark.parametrize("value", [True, ["a"], {"a": 1}])
def test_an_id_that_is_none_is_a_bad_line(tmp_path: Path, curate: Curate, value: object) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one", "id": 1}, {"text": "two", "id": value}])
    with pytest.raises(DataError, match=r'^a.jsonl:2: the id key "id" holds a \w+; allowed: a string or a number'):
        curate({"path": "a.jsonl", "id": "id"})


RECORDS = [
    {"text": "one", "over_18": True, "user": {"name": "x"}, "lang": "en", "n": 2**53 + 1, "in-reply": 3},
    {"text": "two", "over_18": False, "user": {}, "lang": None, "n": 2**53, "in-reply": None},
    {"text": "three", "over_18": None, "lang": "de", "n": None},
]


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("metadata.over_18 == false", ["two"]),
        ("metadata.over_18 == False", ["two"]),
        ("metadata.over_18 != true", ["two", "three"]),
        ("metadata.lang is null", ["two"]),
        ("metadata.lang is not None", ["one", "three"]),
        ('metadata.lang == "en"', ["one"]),
        ('metadata.lang in ["de", null]', ["two", "three"]),
        ('metadata.user.name == "x"', ["one"]),
        ("metadata.user.name == null", ["two", "three"]),
        ('metadata["in-reply"] > 2', ["one"]),
        ("not metadata.n < 5", ["one", "two", "three"]),
        ("metadata.n == 9007199254740993", ["one"]),
        ("metadata.n <= 9007199254740992", ["two"]),
        ("metadata.lang is null or metadata.over_18 == true", ["one", "two"]),
    ],
)
def test_where_asks_for_null_nested_keys_and_booleans(
    tmp_path: Path, curate: Curate, expression: str, texts: list[str]
) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORDS))
    source = {"path": "a.jsonl", "keep": ["over_18", "user", "lang", "n", "in-reply"]}
    artifact = curate(source, steps=[{"step": "where", "keep": expression}])
    assert [document.text for document in documents(artifact)] == texts


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ('metadata.over_18 == "True"', r"document 0/a.jsonl:1: where .* compares a boolean with a word: true beside"),
        ("metadata.lang > 5", r"compares a number with a word: 5.0 beside \"en\""),
        (
            "metadata.language == 1",
            r"document 0/a.jsonl:1: has no metadata.language, .*; there is: lang, over_18, user",
        ),
        ("metadata.user == 1", r"document 0/a.jsonl:1: metadata.user, .*, holds {\"name\": \"x\"}"),
    ],
)
def test_what_cannot_be_compared_names_document_and_key(
    tmp_path: Path, curate: Curate, expression: str, why: str
) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORDS))
    with pytest.raises((DataError, InputError, RanksFailed), match=why):
        curate({"path": "a.jsonl", "keep": ["over_18", "user", "lang"]}, steps=[{"step": "where", "keep": expression}])


def test_a_source_without_strict_is_described_as_before() -> None:
    from curation.sources.spec import SourceSpec

    for strict in (False, True):
        spec = SourceSpec(path="a.jsonl", strict=strict)
        assert ("strict" in spec.model_dump()) is ("strict" in spec.identity()) is strict
