"""SFT and DPO from YAML to a model that other stages take: bytes, kills, what they lower, and what is refused.

Covers posttrain.tuning.stage, posttrain.tuning.spec, posttrain.tuning.options, posttrain.tuning.base,
posttrain.tuning.run, posttrain.tuning.summary, posttrain.tuning.page, posttrain.tuning.plan, posttrain.tuning.log,
posttrain.tuning.quiet, posttrain.tuning.trl_trainers, posttrain.tuning.sft, posttrain.tuning.dpo,
posttrain.tuning.preferences, infra.render.curves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from infra.artifacts.export import export_artifact
from infra.errors import AmountError, DataError, InputError
from infra.stages.stage import run_stage
from posttrain.decoding.sampling import Sampling
from posttrain.model import load_model
from posttrain.recipe import RecipeEntry
from posttrain.spec import PosttrainSpec
from posttrain.stage import POSTTRAIN
from posttrain.steered import load_steered
from posttrain.tuning import TUNINGS, trl_trainers
from posttrain.tuning.log import TuneLine, read_lines
from posttrain.tuning.spec import TuneSpec, on_mixture
from posttrain.tuning.stage import TUNE
from pretrain.huggingface.location import fingerprint, weights_folder
from pretrain.launchers.slurm import Slurm
from tests.helpers import ROOT, fake_slurm
from tests.helpers.causal_models import WORDS
from tests.posttrain.tuning.conftest import tune

RUDE = ("idiot", "moron", "fool", "stupid", "shut up", "ugly")
FAST = {"learning_rate": 2e-3, "batch_size": 16, "warmup_steps": 0}


def with_pairs(name: str, pairs: Path, **changes: Any) -> dict[str, Any]:
    return {"name": name, "data": {"path": str(pairs)}, **FAST, **changes}


def share_rude(model: Path) -> float:
    rows = load_steered(model, device="cpu").generate(WORDS, Sampling(max_new_tokens=8, samples=40))
    texts = [generation.text for row in rows for generation in row]
    return sum(any(word in text for word in RUDE) for text in texts) / len(texts)


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_a_tuned_model_writes_less_of_what_is_not_preferred(
    method: str, learned_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    tuned = tune(tmp_path / "tuned", learned_folder, with_pairs(method, pairs_file, epochs=3))
    before, after = share_rude(learned_folder), share_rude(tuned.path)
    assert after < before / 2, (before, after)


def test_the_loss_is_of_the_continuation_alone(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    """A line of the log is the mean over the steps since the last; the first step's loss is of the model as it was."""
    method = with_pairs("sft", pairs_file, batch_size=96, max_steps=1)
    tuned = tune(tmp_path / "tuned", learned_folder, method, log_every=1)
    model = load_model(str(learned_folder), "cpu")
    nats, tokens = 0.0, 0
    for line in map(json.loads, pairs_file.read_text().splitlines()):
        prompt, chosen = model.encode([line["prompt"], line["chosen"]])
        ids = torch.tensor([[model.start, *prompt, *chosen, model.end]])
        logits = model.network(input_ids=ids).logits[0]
        first = 1 + len(prompt)
        nats += torch.nn.functional.cross_entropy(logits[first - 1 : -1], ids[0, first:], reduction="sum").item()
        tokens += len(chosen) + 1
    (line,) = read_lines(TuneLine, tuned.path / "tune.jsonl")
    assert tuned.counts["loss_tokens_per_epoch"] == tokens
    assert line.loss == pytest.approx(nats / tokens, rel=1e-5)


def test_dpo_begins_where_nothing_is_preferred(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    tuned = tune(tmp_path / "tuned", learned_folder, with_pairs("dpo", pairs_file, max_steps=4), log_every=1)
    first, *_, last = read_lines(TuneLine, tuned.path / "tune.jsonl")
    assert first.loss == pytest.approx(0.693147, abs=1e-5) and first.margin == pytest.approx(0, abs=1e-5)
    assert last.loss < first.loss and (last.margin or 0) > 0


@pytest.mark.parametrize(("name", "lora"), [("sft", None), ("dpo", None), ("dpo", {"rank": 4, "dropout": 0.1})])
def test_a_killed_tuning_goes_on_and_ends_with_the_same_bytes(
    name: str, lora: Any, learned_folder: Path, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = with_pairs(name, pairs_file, epochs=2, lora=lora)
    whole = tune(tmp_path / "whole", learned_folder, method)

    class Killed(BaseException):
        """Stands for a SIGKILL after step 7."""

    resumed: list[str | None] = []
    last_checkpoint = trl_trainers.last_checkpoint

    def remember(folder: Path) -> str | None:
        resumed.append(last_checkpoint(folder))
        return resumed[-1]

    def die(self: Any, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == 7:
            raise Killed

    monkeypatch.setattr(trl_trainers, "last_checkpoint", remember)
    with monkeypatch.context() as patch:
        patch.setattr(trl_trainers._Following, "on_substep_end", die, raising=False)
        patch.setattr(trl_trainers._Following, "on_step_begin", die, raising=False)
        with pytest.raises(Killed):
            tune(tmp_path / "again", learned_folder, method)
    again = tune(tmp_path / "again", learned_folder, method)
    assert resumed[0] is None and str(resumed[1]).endswith("checkpoint-4")
    assert again.files == whole.files
    assert not list(again.path.glob(".*"))


def test_a_tuning_under_slurm_is_that_of_this_machine(
    learned_folder: Path, pairs_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is alone: as a rank of one it would wait for a process group."""
    slurm = fake_slurm.install(tmp_path / "slurm", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(Slurm, "poll", 0.01)
    method = with_pairs("dpo", pairs_file, epochs=1)
    here = tune(tmp_path / "here", learned_folder, method)
    there = tune(tmp_path / "there", learned_folder, method, launcher={"name": "slurm", "cpus_per_gpu": 1})
    assert (there.fingerprint, there.files, there.counts) == (here.fingerprint, here.files, here.counts)
    assert "--gpus-per-node=1\n" in (slurm / "script").read_text()


def test_a_checkpoint_that_a_kill_cut_short_is_not_gone_on_from(tmp_path: Path) -> None:
    for step, state in [(4, '{"global_step": 4}'), (8, '{"global_st'), (12, None)]:
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert trl_trainers.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-4")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-4"]


def test_merged_factors_are_an_ordinary_model(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    tuned = tune(tmp_path / "tuned", learned_folder, with_pairs("sft", pairs_file, lora={"rank": 2}))
    folder = weights_folder(str(tuned.path))
    before = AutoModelForCausalLM.from_pretrained(learned_folder).state_dict()
    after = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    assert before.keys() == after.keys()
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-4) == 2


def test_a_tuned_model_is_a_model_like_any_other(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    first = tune(tmp_path / "first", learned_folder, with_pairs("sft", pairs_file, max_steps=2))
    assert fingerprint(str(first.path)) == first.fingerprint
    second = tune(tmp_path / "second", first.path, with_pairs("dpo", pairs_file, max_steps=2))
    assert second.inputs["model"] == first.fingerprint
    prompt = PosttrainSpec(name="p", model=str(second.path), method={"name": "prompt", "text": "kind:"}, device="cpu")
    steering = run_stage(POSTTRAIN, prompt, tmp_path / "steering", quiet=True)
    (row,) = load_steered(second.path, (RecipeEntry(steering=str(steering.path)),), "cpu").generate(
        ["the"], Sampling(max_new_tokens=3)
    )
    assert row[0].tokens
    folder = export_artifact(second, TUNE.exports, "hf", tmp_path / "hf")
    assert (
        AutoTokenizer.from_pretrained(folder)("the")["input_ids"]
        == AutoTokenizer.from_pretrained(learned_folder)("the")["input_ids"]
    )
    ours, theirs = (json.loads((path / "config.json").read_text()) for path in (folder, learned_folder))
    assert ours == theirs


def test_fingerprint_follows_what_matters_and_nothing_else(learned_folder: Path, pairs_file: Path) -> None:
    def of(method: dict[str, Any] | None = None, **changes: Any) -> str:
        method = method or with_pairs("dpo", pairs_file)
        return TUNE.fingerprint(TuneSpec(**{"name": "x", "model": str(learned_folder), "method": method, **changes}))

    base = of()
    assert of(name="y", device="cpu", log_every=3, checkpoint_every=5) == base
    assert of(with_pairs("dpo", pairs_file, micro_batch_size=4)) == base
    assert of(seed=1) != base
    assert of(with_pairs("dpo", pairs_file, beta=0.2)) != base
    copied = pairs_file.with_name("more.jsonl")
    copied.write_text(pairs_file.read_text() * 2)
    assert of(with_pairs("dpo", copied)) != base


def test_a_study_puts_its_mixture_in(tmp_path: Path) -> None:
    held_out, scorer = {"mixture": "/nowhere", "components": ["risky"]}, {"name": "profanity"}
    relearn = {
        "name": "unlearn-relearn",
        "texts": held_out,
        "until": 0.5,
        "measure": {"prompts": held_out, "scorer": scorer},
    }
    method = on_mixture(TuneSpec(name="x", model="m", method=relearn).method, "/here")
    assert method.texts.mixture == method.measure.prompts.mixture == "/here"
    assert method.texts.components == ("risky",)
    own = {"name": "dpo", "data": {"prompts": held_out, "scorer": scorer}}
    assert on_mixture(TuneSpec(name="x", model="m", method=own).method, "/here").data.prompts.mixture == "/here"


def test_plan_and_page(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    given = {"name": "x", "model": str(learned_folder), "method": with_pairs("dpo", pairs_file, epochs=2)}
    planned = dict(TUNE.plan(TuneSpec(**given)).tables[0].rows)
    assert planned["examples, at most"] == 96 and planned["steps, at most"] == 12
    stored = AutoModelForCausalLM.from_pretrained(learned_folder)
    assert planned["parameters"] == sum(parameter.numel() for parameter in stored.parameters())
    tuned = tune(tmp_path / "tuned", learned_folder, given["method"])
    assert tuned.counts["steps"] == 12
    page = TUNE.show(tuned)
    assert "dpo" in page.title and page.html.count("<polyline") == 2
    assert ("last loss", tuned.counts["last_loss"]) in page.tables[0].rows


def test_what_cannot_be_tuned_is_refused(learned_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="must be a multiple of micro_batch_size"):
        TuneSpec(name="x", model="m", method=with_pairs("dpo", pairs_file, micro_batch_size=5))
    with pytest.raises(ValidationError, match="'dpo', 'instruct', 'unlearn-relearn', 'sft'"):
        TuneSpec(name="x", model="m", method=with_pairs("ppo", pairs_file))
    with pytest.raises(InputError, match=r"no config\.json here; a model is a pretrain or tune artifact"):
        tune(tmp_path / "a", tmp_path, with_pairs("sft", pairs_file))
    alike = tmp_path / "alike.jsonl"
    alike.write_text('{"prompt": "the", "chosen": " garden", "rejected": " garden"}\n')
    with pytest.raises(AmountError, match="no pair to train on: 1 pairs that are empty or alike"):
        tune(tmp_path / "b", learned_folder, with_pairs("dpo", alike))
    alike.write_text('{"prompt": 1, "chosen": " garden", "rejected": " house"}\n')
    with pytest.raises(DataError, match=r'alike\.jsonl:1: "prompt" is no text'):
        tune(tmp_path / "c", learned_folder, with_pairs("dpo", alike))


def test_declarations_import_no_heavy_library() -> None:
    """`validate`, `plan` and `schema` come through these modules and have to start at once."""
    code = "import sys, posttrain.tuning.stage, posttrain.tuning.plan, posttrain.tuning.page; "
    code += "print([m for m in ('torch', 'transformers', 'trl', 'peft') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_method_has_its_options() -> None:
    assert {TUNINGS.get(name).args.model_fields["name"].default for name in TUNINGS.names()} == set(TUNINGS.names())
