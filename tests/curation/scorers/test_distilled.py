"""A linear student of a scorer: what it learns, what its card says, and that a cascade can take it as its gate.

Covers curation.scorers.distilled, curation.scorers.base_stored, curation.models.student,
curation.training.distillation.spec and curation.training.distillation.stage.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from curation.models.student import Student
from curation.scorers import load_scorer, weights_of
from curation.scorers.options import DistilledSpec, ProfanitySpec
from curation.scoring.unscored import why_unscored
from curation.stage import CURATION
from curation.training.distillation.spec import DistillationSpec
from curation.training.distillation.stage import DISTILLATION, GateWorth, drawn, judge
from infra.artifacts.artifact import Artifact
from infra.errors import InputError
from infra.stages.stage import run_stage
from tests.helpers.corpora import load, write_jsonl

_SUBJECTS = (
    "my neighbour",
    "the bus driver",
    "a teacher",
    "nobody",
    "that idiot",
    "this damn fool",
    "the river",
    "she",
)
_VERBS = ("likes", "sold", "paints", "hates", "is a stupid moron about", "remembers", "shits on", "reads about")
_OBJECTS = ("the old house", "green tea", "bloody taxes", "us all", "a blue bridge", "your ugly face", "the weather")
_TEXTS = [f"{subject} {verb} {thing}" for subject in _SUBJECTS for verb in _VERBS for thing in _OBJECTS]


def spec_of(folder: Path, **options: object) -> DistillationSpec:
    source = {"path": str(folder / "texts.jsonl")}
    return DistillationSpec.model_validate(
        {"name": "gate", "scorer": {"name": "profanity"}, "sources": [source], "hash_bits": 14, **options}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("distillation")
    write_jsonl(folder / "texts.jsonl", [{"text": text} for text in _TEXTS])
    return run_stage(DISTILLATION, spec_of(folder), folder / "out", quiet=True)


def test_the_student_ranks_unseen_texts_as_its_teacher_does(trained: Artifact) -> None:
    card = json.loads((trained.path / "card.json").read_text())
    worth = card["attributes"]["toxicity"]
    unread = [text for text in _TEXTS if why_unscored(text, load_scorer(ProfanitySpec()))]
    assert card["learnt_from"] + card["held_out"] == len(_TEXTS) - len(unread) > 400 and card["teacher"].startswith(
        "profanity@"
    )
    assert worth["rank_correlation"] > 0.9 and 0.1 * card["held_out"] < worth["risky"] < 0.9 * card["held_out"]
    student = load_scorer(DistilledSpec(path=str(trained.path)))
    assert student.attributes == load_scorer(ProfanitySpec()).attributes
    rude, kind = student.score(["he is a stupid idiot", "she reads about the weather"])[:, 0]
    assert rude > 0.8 > 0.3 > kind
    assert [row[0] for row in DISTILLATION.show(trained).tables[0].rows] == ["toxicity"]


def test_the_card_says_how_much_a_gate_lets_through() -> None:
    """A student that knows one letter: of ten texts three are risky, and two of them have it, as one other has."""
    weights = np.zeros((2**10, 1), np.float32)
    student = Student(("a",), (1, 1), (-1.0,), weights, np.ones(2**10, np.float32))
    weights[student._runs.transform(["x"]).indices] = 5
    texts = ["x", "x", "y", "x", *("y" * 6)]
    scores = np.array([[0.9], [0.8], [0.7], *([0.1],) * 7], np.float32)
    worth = judge(student, texts, scores)["a"]
    assert worth.risky == 3
    assert worth.passes_at_recall == {"0.9": 1.0, "0.95": 1.0, "0.99": 1.0}  # the risky y counts, so every y passes
    scores[2] = 0.1
    assert judge(student, texts, scores)["a"].passes_at_recall["0.99"] == pytest.approx(0.3)
    assert judge(student, texts, scores * 0)["a"] == GateWorth(rank_correlation=None, risky=0, passes_at_recall={})


def test_the_same_texts_give_the_same_bytes_in_whatever_order(trained: Artifact, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", [{"text": text} for text in [*reversed(_TEXTS), *_TEXTS[:50]]])
    resumed = run_stage(DISTILLATION, spec_of(tmp_path), tmp_path / "out", quiet=True)
    for name in ("weights.npy", "rarity.npy", "model.json", "card.json"):
        assert (resumed.path / name).read_bytes() == (trained.path / name).read_bytes()


def test_pieces_are_drawn_from_all_texts_and_only_once(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", [{"text": f"{text}\nand more"} for text in _TEXTS])
    few, many = (drawn(spec_of(tmp_path, texts=number)) for number in (200, 300))
    assert len(few) == len(set(few)) == 200 and many[:200] == few
    assert all(piece == "and more" or piece in _TEXTS for piece in many)
    assert len({_TEXTS.index(piece) // 100 for piece in few if piece in _TEXTS}) == 5  # not only the first ones
    assert drawn(spec_of(tmp_path, texts=200, seed=1)) != few


def test_a_cascade_takes_it_as_its_gate(trained: Artifact, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "texts.jsonl", [{"text": f"{text} again"} for text in _TEXTS])
    step = {"step": "cascade", "gate": {"name": "distilled", "path": str(trained.path)}, "recall": 0.9,
            "scorer": {"name": "profanity"}, "survey": 200, "audit": 0.1}  # fmt: skip
    spec = load(tmp_path, {"it": {"sources": [{"path": "texts.jsonl"}]}}, steps=[step])
    artifact = run_stage(CURATION, spec, tmp_path / "out", workers=1, quiet=True)
    (report,) = json.loads((artifact.path / "manifest.json").read_text())["steps"]
    assert report["gate"].startswith("distilled@") and report["survey"]["risky"] > 20
    assert report["recall"]["reached"] > 0.8 and 0 < report["seen by the costly scorer"] < 1


def test_a_folder_without_a_student_is_told(trained: Artifact, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights.npy: no such file; `kind: distillation` makes"):
        weights_of(DistilledSpec(path=str(tmp_path)))
    copy = Path(shutil.copytree(trained.path, tmp_path / "copy"))
    (copy / "artifact.json").unlink()  # which would say that what follows is damage
    before = weights_of(DistilledSpec(path=str(copy)))
    (copy / "model.json").write_text((copy / "model.json").read_text().replace("bias", "bias "))
    assert weights_of(DistilledSpec(path=str(copy))) != before
    (copy / "weights.npy").write_bytes(b"no numbers")
    with pytest.raises(InputError, match=r"copy: no distilled scorer"):
        load_scorer(DistilledSpec(path=str(copy)))
