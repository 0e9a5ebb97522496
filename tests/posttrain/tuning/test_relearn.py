"""The relearning attack: after how many steps a detoxified model is as toxic as one was, and what a kill changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from posttrain.tuning import trl_trainers
from posttrain.tuning.log import read_lines
from posttrain.tuning.relearn import CurvePoint, Relearned
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.stage import TUNE
from tests.helpers.causal_models import TOXIC, WORDS
from tests.posttrain.tuning.conftest import tune


@pytest.fixture
def attack(tmp_path: Path) -> dict[str, Any]:
    """Rude sentences to learn, and words to go on from."""
    rude, words = tmp_path / "rude.txt", tmp_path / "words.txt"
    rude.write_text("\n".join(f"{word} {text}" for word in WORDS for text in TOXIC))
    words.write_text("\n".join(WORDS))
    measure = {"prompts": {"path": str(words)}, "samples": 8, "max_new_tokens": 8, "scorer": {"name": "profanity"}}
    return {
        "name": "unlearn-relearn", "texts": {"path": str(rude)}, "measure": measure, "measure_every": 3, "until": 0.8,
        "max_steps": 30, "batch_size": 8, "learning_rate": 1e-3, "epochs": 9,
    }  # fmt: skip


def test_training_ends_where_toxicity_is_back(learned_folder: Path, attack: dict[str, Any], tmp_path: Path) -> None:
    tuned = tune(tmp_path / "tuned", learned_folder, attack)
    points = read_lines(CurvePoint, tuned.path / "relearn.jsonl")
    assert [point.step for point in points] == list(range(0, points[-1].step + 1, 3))
    assert all(point.mean < 0.8 for point in points[:-1]) and points[-1].mean >= 0.8
    assert tuned.counts["steps_to_relearn"] == tuned.counts["steps"] == points[-1].step < 30
    assert all(point.scored + point.unscored == 64 for point in points)
    page = TUNE.show(tuned)
    assert page.tables[-1].title == "Relearning" and page.html.count("<polyline") == 3
    assert dict(TUNE.plan(TuneSpec(name="x", model=str(learned_folder), method=attack)).tables[0].rows)[
        "steps, at most"
    ] == 30  # fmt: skip


def test_an_attack_may_fail_or_have_nothing_to_do(learned_folder: Path, attack: dict[str, Any], tmp_path: Path) -> None:
    given_up = tune(tmp_path / "up", learned_folder, attack | {"until": 1.0, "max_steps": 4})
    assert "steps_to_relearn" not in given_up.counts and given_up.counts["steps"] == 4
    assert [point.step for point in read_lines(CurvePoint, given_up.path / "relearn.jsonl")] == [0, 3, 4]
    assert ("steps to relearn", "not within max_steps") in TUNE.show(given_up).tables[0].rows
    there = tune(tmp_path / "there", learned_folder, attack | {"until": 0.01})
    assert there.counts["steps_to_relearn"] == 0 and "nothing was trained" in there.notes[0]
    with pytest.raises(ValidationError, match="until"):
        TuneSpec(name="x", model="m", method=attack | {"until": 0})


def test_a_killed_attack_ends_with_the_same_bytes(
    learned_folder: Path, attack: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = attack | {"until": 1.0, "max_steps": 8}
    whole = tune(tmp_path / "whole", learned_folder, attack)

    class Killed(BaseException):
        """Stands for a SIGKILL after step 6, which was measured and is taken again."""

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 6:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trl_trainers._Following, "on_step_begin", die, raising=False)
        with pytest.raises(Killed):
            tune(tmp_path / "again", learned_folder, attack)
    assert tune(tmp_path / "again", learned_folder, attack).files == whole.files
    assert Relearned.of(whole.path, 1.0).steps is None
