"""Evaluation sets that a mixture must not contain.

Covers mixtures.contamination.hits, mixtures.contamination.scan and mixtures.contamination.stage.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from infra.errors import InputError
from mixtures.planning.plan import plan_mixture
from mixtures.reading.built import BuiltMixture
from mixtures.reading.manifest import SetCounts
from mixtures.stage import MIXTURE
from tests.helpers.tagged_corpora import Doc, build, clean_documents, mixture_spec, risky_documents, write_curation

QUESTION = "Which of the seven bridges over the river was the last one to be built of stone?"
OTHER = "How many loaves of bread can one baker make in a night if the oven is already hot?"
ABSENT = "What is the name of the tallest tree that anybody has ever measured in this country?"


@pytest.fixture(scope="module")
def quiz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation set of three questions, and a fourth that is too short to be looked for."""
    file = tmp_path_factory.mktemp("sets") / "quiz.jsonl"
    file.write_text(
        "".join(json.dumps({"question": question}) + "\n" for question in (QUESTION, OTHER, ABSENT, "Why?"))
    )
    return file


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curation whose corpus `clean` holds one of the questions, in other letters, and half of another."""
    leaks = [
        Doc("leak-whole", f"He asked: {QUESTION.upper()} Nobody knew."),
        Doc("leak-half", " ".join(OTHER.split()[:14]) + " morning"),
    ]
    documents = clean_documents(200)
    corpora = {"clean": [*documents[:50], leaks[0], *documents[50:], leaks[1]], "forum": risky_documents(120)}
    return write_curation(tmp_path_factory.mktemp("leaky") / "demo", corpora)


def decontaminated(quiz: Path, **changes: Any) -> dict[str, Any]:
    return {"against": {"quiz": {"path": str(quiz), "text": "question"}}, "n_grams": 8, **changes}


@pytest.fixture(scope="module")
def clean(leaky: Path, quiz: Path, tmp_path_factory: pytest.TempPathFactory) -> BuiltMixture:
    spec = mixture_spec(leaky, components=every_document(), decontaminate=decontaminated(quiz))
    return build(spec, tmp_path_factory.mktemp("built") / "m")


def every_document() -> dict[str, object]:
    return {"clean": {"corpus": "clean", "tokens": "all"}, "risky": {"corpus": "forum", "tokens": "all"}}


def ids(mixture: BuiltMixture) -> set[str]:
    tables = [pq.read_table(mixture.path / name, columns=["id"]) for name in ("documents.parquet", "held_out.parquet")]
    return {name for table in tables for name in table.column("id").to_pylist()}


def test_documents_with_text_of_an_evaluation_set_are_left_out(clean: BuiltMixture, leaky: Path) -> None:
    assert ids(clean) == {f"clean-{n}" for n in range(200)} | {f"risky-{n}" for n in range(120)}
    report = clean.manifest.decontamination
    assert report is not None and report.documents == {"clean": 2, "risky": 0}
    assert report.sets["clean"]["quiz"] == SetCounts(texts=4, long_enough=3, touched=2, inside=1)
    assert report.sets["forum"]["quiz"].touched == 0


def test_the_store_names_document_set_and_words(clean: BuiltMixture) -> None:
    (folder,) = (clean.path.parent / "store").glob("contamination-clean-*")
    rows = pq.read_table(folder / "hits.parquet").to_pylist()
    assert [(row["shard"], row["row"], row["id"], row["set"]) for row in rows] == [
        (1, 10, "leak-whole", "quiz"),
        (5, 1, "leak-half", "quiz"),
    ]
    assert rows[0]["first"] == "which of the seven bridges over the river"
    assert sorted(path.name for path in folder.iterdir()) == ["artifact.json", "hits.parquet", "sets.json"]


def test_the_other_documents_keep_their_order_and_the_hold_out_its_size(
    clean: BuiltMixture, leaky: Path, tmp_path: Path
) -> None:
    plain = build(mixture_spec(leaky, components=every_document()), tmp_path / "m", clean.path.parent / "store")
    order = {name: [row["id"] for row in pq.read_table(mixture.path / "documents.parquet").to_pylist()]
             for name, mixture in (("plain", plain), ("clean", clean))}  # fmt: skip
    remaining = [name for name in order["plain"] if name in set(order["clean"])]
    assert remaining == [name for name in order["clean"] if name in set(remaining)]
    assert clean.held_out_of("clean").tokens >= 500
    assert plain.manifest.decontamination is None


def test_the_plan_is_an_estimate_until_the_corpora_have_been_looked_through(
    clean: BuiltMixture, leaky: Path, quiz: Path, tmp_path: Path
) -> None:
    spec = mixture_spec(leaky, components=every_document(), decontaminate=decontaminated(quiz))
    store = clean.path.parent / "store"
    assert plan_mixture(spec, store).title == f"mixture m: {clean.tokens:,} tokens"
    assert plan_mixture(spec, store).notes[-1] == "documents that hold text of quiz are left out"
    other = mixture_spec(leaky, components=every_document(), decontaminate=decontaminated(quiz, n_grams=9))
    assert plan_mixture(other, store).title.startswith("mixture m: about")


def test_an_evaluation_set_inside_the_training_data_is_refused(leaky: Path, tmp_path: Path) -> None:
    quiz = tmp_path / "quiz.jsonl"
    quiz.write_text(json.dumps({"question": QUESTION}) + "\n" + json.dumps({"question": ABSENT}) + "\n")
    refused = decontaminated(quiz, max_inside=0.4)
    with pytest.raises(InputError, match=r"quiz: 1 of its 2 texts stand wholly in corpus 'clean', as in document "
                                         r"'leak-whole'\n.*max_inside: 1"):  # fmt: skip
        build(mixture_spec(leaky, decontaminate=refused), tmp_path / "m")
    assert not (tmp_path / "m").exists()
    with pytest.raises(InputError, match="inside the training data"):
        plan_mixture(mixture_spec(leaky, decontaminate=refused), tmp_path / "store")
    assert build(mixture_spec(leaky, decontaminate=refused | {"max_inside": 1.0}), tmp_path / "m").tokens == 3333


def test_a_set_that_cannot_be_looked_for_is_told(leaky: Path, quiz: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        build(mixture_spec(leaky, decontaminate=decontaminated(tmp_path / "none.jsonl")), tmp_path / "m")
    with pytest.raises(InputError, match=r"decontaminate: .*zzz"):
        build(mixture_spec(leaky, decontaminate=decontaminated(quiz, language="zzz")), tmp_path / "m")


def test_what_is_found_depends_on_no_path_and_no_tolerance(leaky: Path, quiz: Path, tmp_path: Path) -> None:
    moved = tmp_path / "quiz.jsonl"
    moved.write_bytes(quiz.read_bytes())
    prints = {
        MIXTURE.fingerprint(mixture_spec(leaky, decontaminate=decontaminated(file, max_inside=share)))
        for file, share in ((quiz, 0.5), (moved, 0.9))
    }
    other = MIXTURE.fingerprint(mixture_spec(leaky, decontaminate=decontaminated(quiz, n_grams=9)))
    assert len(prints) == 1 and other not in prints and MIXTURE.fingerprint(mixture_spec(leaky)) not in prints
