"""Labelled text: lines by their spans, files by their labels, and every way in which either can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from infra.errors import AmountError, DataError, InputError
from posttrain.labelled import Example, balance, file_examples, held_out_examples, read_labelled
from posttrain.spec import LabelledFileSpec, LabelledSpec
from tests.helpers.causal_models import held_out_row, save_mixture


def span(text: str, piece: str, score: float, attribute: str = "toxicity") -> dict:
    start = text.index(piece)
    return {"start": start, "end": start + len(piece), "attribute": attribute, "score": score}


def test_a_line_has_the_label_of_its_highest_span(tmp_path: Path) -> None:
    text = "a calm first line\nthe second: you idiot, go\n\nok\na third line of words"
    spans = [span(text, "idiot", 0.9), span(text, "third", 0.4), span(text, "calm", 0.99, "threat")]
    folder = save_mixture(tmp_path / "m", [held_out_row(0, text, spans, 0.9)])
    labels = {example.text: example.toxic for example in held_out_examples(LabelledSpec(mixture=str(folder)))}
    expected = {"a calm first line": False, "the second: you idiot, go": True, "a third line of words": False}
    assert labels == expected
    low = LabelledSpec(mixture=str(folder), at_or_above=0.4)
    assert {example.text for example in held_out_examples(low) if example.toxic} == set(expected) - {
        "a calm first line"
    }


def test_a_span_over_a_line_break_labels_both_lines(tmp_path: Path) -> None:
    text = "go away you\nidiot of the day"
    folder = save_mixture(tmp_path / "m", [held_out_row(0, text, [span(text, "you\nidiot", 0.8)], 0.8)])
    assert [example.toxic for example in held_out_examples(LabelledSpec(mixture=str(folder)))] == [True, True]


def test_whole_documents_are_labelled_by_their_score(tmp_path: Path) -> None:
    rows = [held_out_row(0, "one\ntwo", None, 0.7), held_out_row(1, "three", None, 0.2)]
    spec = LabelledSpec(mixture=str(save_mixture(tmp_path / "m", rows)), unit="document")
    assert [(example.text, example.toxic) for example in held_out_examples(spec)] == [
        ("one\ntwo", True),
        ("three", False),
    ]


def test_an_untagged_document_is_an_error_and_not_benign(tmp_path: Path) -> None:
    folder = save_mixture(tmp_path / "m", [held_out_row(7, "some words here", None, 0.1)])
    with pytest.raises(DataError, match="d7 was not tagged"):
        list(held_out_examples(LabelledSpec(mixture=str(folder))))
    with pytest.raises(DataError, match="has no insult score"):
        list(held_out_examples(LabelledSpec(mixture=str(folder), unit="document", attribute="insult")))


def test_classes_are_balanced_documents_known_and_the_draw_seeded(mixture: Path) -> None:
    spec = LabelledSpec(mixture=str(mixture), per_class=20)
    labelled = read_labelled(spec, seed=1)
    assert len(labelled.texts) == len(set(labelled.texts)) == 40
    assert labelled.toxic.sum() == 20
    assert len(np.unique(labelled.groups)) > 20
    assert labelled.texts == read_labelled(spec, seed=1).texts
    assert set(labelled.texts) != set(read_labelled(spec, seed=2).texts)
    assert not labelled.toxic[:20].all()  # shuffled, not class by class


def test_more_texts_than_there_are_is_refused(mixture: Path) -> None:
    with pytest.raises(AmountError, match=r"1000 benign texts are asked .* and there are"):
        read_labelled(LabelledSpec(mixture=str(mixture), per_class=1000), seed=0)


def test_repeated_texts_count_once_and_contradictory_ones_not_at_all() -> None:
    examples = [Example(f"benign {i % 12}", False, str(i)) for i in range(40)]
    examples += [Example(f"toxic {i}", True, str(i)) for i in range(12)]
    examples += [Example("both", False, "a"), Example("both", True, "b")]
    labelled = balance(examples, 12, seed=0)
    assert sorted(labelled.texts) == sorted({example.text for example in examples} - {"both"})


def write(path: Path, records: list[object]) -> LabelledFileSpec:
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return LabelledFileSpec(path=str(path), text="t", label="y", per_class=10)


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_a_file_gives_texts_with_boolean_or_graded_labels(tmp_path: Path, name: str) -> None:
    spec = write(
        tmp_path / name, [{"t": "a", "y": True}, {"t": "b", "y": 0}, {"t": "c", "y": 0.5}, {"t": "d", "y": 0.4}]
    )
    labels = [(example.text, example.toxic) for example in file_examples(spec)]
    assert labels == [("a", True), ("b", False), ("c", True), ("d", False)]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"y": 1}, 'x.jsonl:2: no text under the key "t"'),
        ({"t": "a"}, 'x.jsonl:2: "y" is None'),
        ({"t": "a", "y": "toxic"}, "x.jsonl:2: \"y\" is 'toxic'"),
        ({"t": "a", "y": 3}, 'x.jsonl:2: "y" is 3'),
        ([1], "x.jsonl:2: no text"),
    ],
)
def test_a_malformed_record_is_named_with_file_and_line(tmp_path: Path, record: object, message: str) -> None:
    spec = write(tmp_path / "x.jsonl", [{"t": "a", "y": 1}, record])
    with pytest.raises(DataError, match=message):
        list(file_examples(spec))


def test_corrupt_truncated_and_missing_files_are_one_clear_error(tmp_path: Path) -> None:
    spec = write(tmp_path / "x.jsonl", [])
    (tmp_path / "x.jsonl").write_bytes(b'{"t": "a", "y": 1}\n{"t": "\xff", "y": 1}\n')
    with pytest.raises(DataError, match=r"x.jsonl:2: not JSON in UTF-8"):
        list(file_examples(spec))
    spec = write(tmp_path / "y.jsonl.gz", [{"t": str(i), "y": 1} for i in range(500)])
    whole = (tmp_path / "y.jsonl.gz").read_bytes()
    (tmp_path / "y.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(file_examples(spec))
    with pytest.raises(InputError, match="no such file"):
        list(file_examples(LabelledFileSpec(path=str(tmp_path / "none.jsonl"))))
