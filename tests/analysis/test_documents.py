"""What cross-entropy is measured on: components, files, several of them; and budgets on none of what is measured.

Covers analysis.evaluations.held_out, analysis.evaluations.cross_entropy, analysis.evaluations.options, analysis.spec,
analysis.strengths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis import results
from analysis.spec import AnalysisSpec
from analysis.stage import ANALYSIS
from analysis.strengths import budget_documents
from infra.errors import AmountError
from infra.stages.stage import run_stage
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN

TEXTS = [
    f"the {thing} is lovely today and everyone likes it" for thing in ("river", "garden", "café", "bridge", "road")
]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Five documents, one a line."""
    return write(tmp_path / "texts.jsonl", TEXTS)


def write(path: Path, documents: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    return path


def spec_of(model: Path, **changes: Any) -> AnalysisSpec:
    return AnalysisSpec.model_validate({"name": "tiny", "model": str(model), "device": "cpu", **changes})


def measured(spec: AnalysisSpec, target: Path) -> pl.DataFrame:
    return results.read([run_stage(ANALYSIS, spec, target, quiet=True).path / results.FILE])


def test_further_documents_are_instances_and_do_not_count(
    tiny_model: Path, mixture: Path, texts: Path, tmp_path: Path
) -> None:
    also = {"risky": {"component": "risky", "max_documents": 3}, "own": {"texts": {"path": str(texts)}}}
    entropy = {"component": "clean", "max_documents": 2, "also": also}
    table = measured(spec_of(tiny_model, mixture=str(mixture), cross_entropy=entropy), tmp_path / "out")
    assert dict(table["instance"].value_counts().rows()) == {None: 2, "risky": 3, "own": 5}
    alone = spec_of(tiny_model, mixture=str(mixture), cross_entropy={"component": "clean", "max_documents": 2})
    assert results.main(table).equals(measured(alone, tmp_path / "alone"))
    own = table.filter(instance="own")
    assert own["prompt_id"].to_list() == [f"0/texts.jsonl:{line}" for line in range(1, 6)]
    assert own["scores"].list.first().struct.field("score").to_list() == [len(text.encode()) for text in TEXTS]
    assert own["scores"].list.first().struct.field("attribute").unique().to_list() == [results.BYTES]


def test_a_model_without_a_mixture_is_measured_and_met_at_a_budget(
    tiny_model: Path, mixture: Path, texts: Path, tmp_path: Path
) -> None:
    """With labelled text, documents and those of the budget from files alone."""
    labels = tmp_path / "labels.jsonl"
    rows = [
        {"text": f"you {word} number {n}", "label": word == "idiot"} for n in range(15) for word in ("idiot", "saint")
    ]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labelled = {"path": str(labels), "per_class": 10}
    method = {"name": "iti", "top_heads": 4, "folds": 2}
    iti = {"name": "iti", "model": str(tiny_model), "method": method, "labelled": labelled, "device": "cpu"}
    steering = run_stage(POSTTRAIN, PosttrainSpec.model_validate(iti), tmp_path / "iti", quiet=True).path
    spec = spec_of(
        tiny_model, recipe=[{"steering": str(steering), "budget": 0.02}],
        cross_entropy={"texts": {"path": str(texts)}, "max_documents": 2},
        budget_documents={"texts": {"path": str(texts)}, "documents": 3},
    )  # fmt: skip
    assert budget_documents(spec) == TEXTS[2:]
    table = measured(spec, tmp_path / "out")
    assert len(table) == 2 and table["budget"].unique().to_list() == [0.02]
    probes = measured(spec_of(tiny_model, labelled=labelled, probes={"folds": 2}), tmp_path / "probes")
    assert len(probes) == 8 and probes["tokens"].unique().to_list() == [20]


def test_a_budget_is_found_on_no_text_that_is_measured_whatever_file_it_stands_in(
    tiny_model: Path, texts: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other.jsonl", ["something new", TEXTS[4], "another text", TEXTS[0]])
    also = {"more": {"texts": {"path": str(texts), "before": "unknown"}}}
    changes = {"recipe": [{"steering": "a", "budget": 0.1}],
               "cross_entropy": {"texts": {"path": str(texts)}, "max_documents": 2, "also": also}}  # fmt: skip
    spec = spec_of(tiny_model, **changes, budget_documents={"texts": {"path": str(other)}, "documents": 2})
    assert budget_documents(spec) == ["something new", "another text"]
    more = spec_of(tiny_model, **changes, budget_documents={"texts": {"path": str(other)}, "documents": 3})
    with pytest.raises(AmountError, match="there are 4 and cross_entropy measures 2"):
        budget_documents(more)


def test_the_content_of_files_is_part_of_the_work_and_their_folder_is_not(tiny_model: Path, tmp_path: Path) -> None:
    def fingerprint(documents: list[str], folder: str, **more: Any) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        source = {"texts": {"path": str(write(tmp_path / folder / "texts.jsonl", documents))}}
        return str(ANALYSIS.fingerprint(spec_of(tiny_model, cross_entropy={**source, "also": {"own": source}} | more)))

    one = fingerprint(TEXTS, "one")
    assert one == fingerprint(TEXTS, "two") != fingerprint(TEXTS[1:], "two")
    assert one != fingerprint(TEXTS, "one", also={})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cross_entropy": {}}, "give `mixture:`, or `texts`"),
        ({"cross_entropy": {"component": "risky", "texts": {"path": "a.txt"}}}, "either `component` or `texts`"),
        ({"cross_entropy": {"texts": {"path": "a.txt"}, "also": {"risky": {"component": "risky"}}}}, "give `mixture:`"),
        (
            {"cross_entropy": {"texts": {"path": "a.txt"}}, "recipe": [{"steering": "a", "budget": 0.1}],
             "budget_documents": {"texts": {"path": "a.txt"}}},
            "give `max_documents`",
        ),
    ],
)  # fmt: skip
def test_documents_of_nowhere_are_refused(tiny_model: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec_of(tiny_model, **changes)


def test_an_empty_file_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.jsonl", [])
    with pytest.raises(AmountError, match="no documents of"):
        measured(spec_of(tiny_model, cross_entropy={"texts": {"path": str(empty)}}), tmp_path / "out")
