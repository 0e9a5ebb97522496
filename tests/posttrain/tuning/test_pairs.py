"""Pairs from files and from the model's own continuations, and the prompts that are cut out of texts.

Covers posttrain.tuning.pairs, posttrain.tuning.continuations, posttrain.tuning.sampled, posttrain.tuning.texts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import AmountError, InputError
from posttrain.model import CausalModel, load_model
from posttrain.tuning import continuations, trl_trainers
from posttrain.tuning.options import DpoArgs, HeldOutSpec, MeasureSpec, PairsSpec
from posttrain.tuning.pairs import Pair, encode_pair, read_pairs, read_pairs_file
from posttrain.tuning.sampled import sample_and_score
from posttrain.tuning.stage import TUNE
from posttrain.tuning.texts import drawn, read_prompts, read_texts, windows
from tests.helpers.causal_models import WORDS, held_out_row, save_mixture
from tests.posttrain.tuning.conftest import tune

PROFANITY = {"name": "profanity"}


@pytest.fixture(scope="module")
def learned(learned_folder: Path) -> CausalModel:
    return load_model(str(learned_folder), "cpu")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(WORDS))
    return file


def own(prompts: Path, **changes: Any) -> dict[str, Any]:
    return {"prompts": {"path": str(prompts)}, "samples": 6, "max_new_tokens": 8, "scorer": PROFANITY, **changes}


def test_keys_are_dotted_and_a_prompt_may_be_missing(tmp_path: Path) -> None:
    file = tmp_path / "paradetox.jsonl"
    lines = [{"toxic": f"rude {n}", "neutral": [f"mild {n}", "other"]} for n in range(5)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec = PairsSpec(path=str(file), prompt=None, chosen="neutral.0", rejected="toxic")
    assert read_pairs(spec, 0, True)[3] == Pair("", "mild 3", "rude 3")
    assert read_pairs(spec, 0, False)[3] == Pair("", "mild 3", "")
    assert len(read_pairs(spec.model_copy(update={"limit": 2}), 0, True)) == 2
    cut = read_pairs(spec.model_copy(update={"ended": False}), 0, True)[0]
    assert not cut.chosen_ended and not cut.rejected_ended


def test_prompts_keep_their_end_and_continuations_their_beginning(learned: CausalModel) -> None:
    args = DpoArgs(data={"path": "x"}, max_prompt_tokens=3, max_continuation_tokens=5)
    long = " ".join(WORDS)
    pair = encode_pair(Pair(long, long, "you"), learned, args)
    ids, short = learned.encode([long, "you"])
    assert pair.prompt == [learned.start, *ids[-3:]]
    assert pair.chosen == ids[:5]
    assert pair.rejected == [*short, learned.end]
    assert encode_pair(Pair(long, long, "you", rejected_ended=False), learned, args).rejected == short
    wide = encode_pair(Pair(long * 9, long * 9, long), learned, DpoArgs(data={"path": "x"}, max_prompt_tokens=900))
    assert len(wide.prompt) + len(wide.chosen) <= learned.max_positions


def test_windows_of_a_text_are_full_but_the_first() -> None:
    assert windows([1, 2, 3], 4, 6) == [[1, 2, 3]]
    assert windows(list(range(15)), 4, 6) == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert windows(list(range(16)), 4, 6)[-1] == [12, 13, 14, 15]
    assert windows([], 4, 6) == []


def test_a_limit_draws_by_the_seed_and_keeps_the_order() -> None:
    first, again, other = (drawn(range(100), 10, seed) for seed in (0, 0, 1))
    assert first == again != other and first == sorted(first)


def test_held_out_texts_of_some_components(tmp_path: Path) -> None:
    rows = [held_out_row(0, "a clean one", [], 0.1) | {"component": "clean"}, held_out_row(1, "a risky one", [], 0.9)]
    mixture = str(save_mixture(tmp_path / "mixture", rows))
    assert read_texts(HeldOutSpec(mixture=mixture)) == ["a clean one", "a risky one"]
    assert read_texts(HeldOutSpec(mixture=mixture, components=("clean",))) == ["a clean one"]
    with pytest.raises(InputError, match="no held-out documents of 'forum'; there are those of clean, risky"):
        read_texts(HeldOutSpec(mixture=mixture, components=("forum",)))


def test_scores_belong_to_their_continuations(learned: CausalModel, prompts: Path) -> None:
    spec = MeasureSpec(**own(prompts, samples=4))
    rows = sample_and_score(learned, spec, read_prompts(spec, learned, 0), 0)
    assert len(rows) == len(WORDS) and all(len(row) == 4 for row in rows)
    scored = [sample for row in rows for sample in row if sample.score is not None]
    assert all(sample.score > 0.5 for sample in scored if "stupid moron" in sample.text)
    assert all(sample.score < 0.5 for sample in scored if "garden was lovely" in sample.text)
    assert len({sample.score > 0.5 for sample in scored}) == 2
    with pytest.raises(InputError, match="the scorer profanity has no 'threat'; it has toxicity"):
        sample_and_score(learned, spec.model_copy(update={"attribute": "threat"}), ["a"], 0)


def test_the_mildest_is_preferred_to_the_most_toxic(
    learned_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = {"name": "dpo", "data": own(prompts), "max_steps": 2}
    tuned = tune(tmp_path / "tuned", learned_folder, method)
    pairs = list(read_pairs_file(tuned.path / "pairs.jsonl"))
    assert pairs and all(pair.rejected_score - pair.chosen_score >= 0.3 for pair in pairs)
    made = json.loads((tuned.path / "pairs.json").read_text())
    assert made["prompts"] == len(WORDS) == made["pairs"] + sum(made["left_out"].values())
    assert tuned.notes == tuple(f"left out: {count} {why}" for why, count in made["left_out"].items())
    page = TUNE.show(tuned).html
    assert page.count("class=blurred") == 2 * len(pairs) and "preferred" in page


def test_pairs_are_made_once_whatever_kills_the_run(
    learned_folder: Path, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Stands for a SIGKILL when the pairs have been made."""

    def die(self: Any, *_: Any, **__: Any) -> None:
        raise Killed

    method = {"name": "sft", "data": own(prompts), "max_steps": 2}
    with monkeypatch.context() as patch:
        patch.setattr(trl_trainers._Following, "on_train_begin", die)
        with pytest.raises(Killed):
            tune(tmp_path / "tuned", learned_folder, method)
    monkeypatch.setattr(continuations, "sample_and_score", die)
    tuned = tune(tmp_path / "tuned", learned_folder, method)
    assert len(list(read_pairs_file(tuned.path / "pairs.jsonl"))) == tuned.counts["examples"]


def test_prompts_whose_continuations_are_alike_give_no_pair(
    learned_folder: Path, prompts: Path, tmp_path: Path
) -> None:
    with pytest.raises(AmountError, match="no pair to train on: 8 prompts whose continuations differ too little"):
        tune(tmp_path / "a", learned_folder, {"name": "sft", "data": own(prompts, samples=2, min_difference=1.0)})
