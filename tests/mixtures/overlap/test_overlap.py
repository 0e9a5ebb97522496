"""Equal and nearly equal documents, counted between the parts of a mixture.

Covers mixtures.overlap.groups, mixtures.overlap.measure, mixtures.overlap.stage and mixtures.corpora.texts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.artifacts.artifact import read_artifact
from mixtures.handover.page import show_mixture
from mixtures.overlap.measure import table_of
from mixtures.reading.built import BuiltMixture
from mixtures.spec.mixture import with_dose
from tests.helpers.tagged_corpora import Doc, build, clean_documents, mixture_spec, risky_documents, write_curation

SAME = "A ferry crossed the lake every morning before the bakers had opened their shops in the old town of stone."
LONG = (
    "The mill stood at the end of the lane and its wheel had not turned since the year of the great flood, when "
    "the water took the bridge and half of the orchard and left a boat in the branches of the tallest elm."
)
NEARLY = LONG.replace("tallest elm", "oldest oak")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two corpora that share a document letter for letter and another nearly; `clean` has one twice in itself."""
    clean = [*clean_documents(60), Doc("same-1", SAME), Doc("long", LONG), Doc("twice-1", "Rain again, said the man."),
             Doc("twice-2", "Rain again, said the man.")]  # fmt: skip
    forum = [*risky_documents(40), Doc("same-2", SAME), Doc("nearly", NEARLY)]
    return write_curation(tmp_path_factory.mktemp("twins") / "demo", {"clean": clean, "forum": forum})


def overlapping(**changes: Any) -> dict[str, Any]:
    components = {"clean": {"corpus": "clean", "tokens": "all"}, "risky": {"corpus": "forum", "tokens": "all"}}
    return {"components": components, "hold_out": {}, "overlap": {"n_grams": 3}, **changes}


@pytest.fixture(scope="module")
def measured(twins: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltMixture:
    return build(mixture_spec(twins, **overlapping()), tmp_path_factory.mktemp("measured") / "m")


def overlap_counts(mixture: BuiltMixture) -> dict[tuple[str, bool, str], tuple[int, int]]:
    rows = mixture.manifest.overlap
    return {(row.component, row.held_out, row.also_in): (row.equal_documents, row.near_documents)
            for row in rows}  # fmt: skip


def test_equal_and_nearly_equal_documents_are_counted_between_components(measured: BuiltMixture) -> None:
    assert overlap_counts(measured) == {
        ("clean", False, "clean"): (2, 2),
        ("clean", False, "risky"): (1, 2),
        ("risky", False, "clean"): (1, 2),
        ("risky", False, "risky"): (0, 0),
    }
    (row,) = (
        overlap for overlap in measured.manifest.overlap if overlap.component == "risky" and overlap.equal_documents
    )
    tokens = {
        document["id"]: document["tokens"]
        for document in pq.read_table(measured.path / "documents.parquet").to_pylist()
    }
    assert row.equal_tokens == tokens["same-2"]
    assert row.near_tokens == tokens["same-2"] + tokens["nearly"]


def test_the_groups_name_documents(measured: BuiltMixture) -> None:
    (folder,) = (measured.path.parent / "store").glob("duplicates-*")
    rows = pq.read_table(folder / "groups.parquet").to_pylist()
    assert [(row["corpus"], row["shard"], row["row"]) for row in rows] == [
        ("clean", 1, 20), ("clean", 1, 21), ("clean", 1, 22), ("clean", 1, 23), ("forum", 1, 0), ("forum", 1, 1),
    ]  # fmt: skip
    assert rows[0]["equal"] == rows[4]["equal"] >= 0 and rows[1]["near"] == rows[5]["near"] >= 0
    assert rows[1]["equal"] == -1 and rows[2]["equal"] == rows[3]["equal"] != rows[0]["equal"]


def test_held_out_documents_that_are_trained_on_elsewhere_are_stated(twins: Path, measured: BuiltMixture) -> None:
    components = {"clean": {"corpus": "clean", "tokens": 1}, "risky": {"corpus": "forum", "tokens": "all"}}
    held = overlapping(components=components, hold_out={"clean": 1500})
    mixture = build(mixture_spec(twins, **held), measured.path.parent / "held", measured.path.parent / "store")
    assert mixture.component("clean").documents == 1
    ids = set(pq.read_table(mixture.path / "held_out.parquet").column("id").to_pylist())
    expected = len(ids & {"same-1", "long"})
    assert expected and overlap_counts(mixture)["clean", True, "risky"] == (len(ids & {"same-1"}), expected)


def test_doses_share_the_comparison_and_differ_in_what_they_take(twins: Path, measured: BuiltMixture) -> None:
    none = with_dose(mixture_spec(twins, **overlapping()), "risky", 0, "none")
    without = build(none, measured.path.parent / "none", measured.path.parent / "store")
    assert overlap_counts(without) == {("clean", False, "clean"): (2, 2)}
    assert len(list((measured.path.parent / "store").glob("duplicates-*"))) == 1


def test_the_table_says_itself_and_shares_of_tokens(measured: BuiltMixture) -> None:
    rows = table_of(measured.manifest.overlap).rows
    assert rows[0][:4] == ("clean", "itself", 64, 2) and rows[1][1] == "risky" and str(rows[0][4]).endswith("%")


def test_the_page_draws_each_component_and_hides_the_text(measured: BuiltMixture) -> None:
    page = show_mixture(read_artifact(measured.path))
    assert [table.title.split()[0] for table in page.tables] == ["Composition", "Tokens", "Overlap"]
    assert page.html.count("<figure>") == 2 and "Overlap (share of tokens)" in page.html
    assert page.html.count("class=veil") == 8  # three riskiest and a harmless one of each component
    assert "you idiot" not in page.html.split("<h2>Samples")[0]
