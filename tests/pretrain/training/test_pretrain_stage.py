"""What a user meets: YAML, fingerprint, plan, page, and how fast they come.

Covers pretrain.stage, pretrain.spec, pretrain.planning.plan, pretrain.report.page, pretrain.training.here.
"""

from __future__ import annotations

import subprocess
import sys
import typing
from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.config.spec import load_spec
from infra.errors import ConfigError, InputError
from infra.stages.stage import run_stage
from pretrain.loss.spec import SlungArm
from pretrain.metrics.jsonl import LogLine
from pretrain.model.architecture import PRESET_NAMES, Architecture
from pretrain.report.page import loss_curve
from pretrain.spec import ModelSpec, PretrainSpec
from pretrain.stage import PRETRAIN
from tests.helpers import ROOT

KINDS = {"pretrain": lambda: PretrainSpec}


def write(folder: Path, text: str) -> Path:
    file = folder / "run.yaml"
    file.write_text("kind: pretrain\n" + text)
    return file


@pytest.mark.parametrize("name", ["pretrain.yaml", "pretrain-slung.yaml"])
def test_the_examples_are_valid(name):
    _, spec = load_spec(ROOT / "examples" / name, KINDS)
    assert isinstance(spec, PretrainSpec)


def test_the_arms_of_slung_are_one_key_of_an_example_apart():
    file = ROOT / "examples" / "pretrain-slung.yaml"
    arms = [load_spec(file, KINDS, [f"loss={arm}"])[1] for arm in typing.get_args(SlungArm)]
    assert len(arms) == 5
    assert all(arm.model_copy(update={"loss": arms[0].loss}) == arms[0] for arm in arms)
    assert arms[0].optimizer.schedule.steps - arms[0].optimizer.schedule.taken == 1020


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixture: m\nlos: {policy: mask}", 'did you mean "loss"'),
        ("mixture: m\nmodel: olmo-2b", "olmo-1b"),
        ("mixture: m\nloss: {policy: forget}", "unlikelihood"),
        ("mixture: m\nloss: {policy: mask, at_or_above: 0}", "greater than 0"),
        ("mixture: m\nglobal_batch_size: 33\nmicro_batch_size: 16", "multiple of micro_batch_size"),
        ("mixture: m\noptimizer: {lr: 1e-4, min_lr: 1e-3}", "must not exceed lr"),
        ("name: a", "mixture: is required"),
        ("mixture: m\nparallel: {sequence: true}", "set `tensor` to 2"),
        ("mixture: m\nloss: slung-mask", "slung-masked"),
        ("mixture: m\nkeep_every: 750", "multiple of checkpoint_every"),
        ("mixture: m\noptimizer: {schedule: {steps: 5, taken: 5}}", "must be below steps"),
        (
            "mixture: m\nstart_from: {model: a, learning_rate: continue}\noptimizer: {schedule: {steps: 5}}",
            "both say where to go on",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_allowed(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_spec(write(tmp_path, text), KINDS)


def test_a_mixture_that_is_not_there_is_the_users_fault(tmp_path, settings):
    with pytest.raises(InputError, match="not a mixture artifact"):
        PRETRAIN.fingerprint(settings(mixture=str(tmp_path / "nowhere")))


def test_the_fingerprint_knows_what_comes_out_and_not_how_it_is_done(settings):
    base = PRETRAIN.fingerprint(settings())
    for how in (
        {"name": "other"},
        {"checkpoint_every": 3},
        {"log_every": 3},
        {"max_skipped": 9},
        {"recompute": True},
        {"deterministic": True},
        {"evaluate_every": 2, "logs": ["tensorboard"], "profile": {}},
        {"micro_batch_size": 4},
        {"parallel": {"tensor": 2}},
        {"loss": {"attribute": "toxicity"}},
    ):
        assert PRETRAIN.fingerprint(settings(**how)) == base
    for what in (
        {"seed": 1},
        {"epochs": 2},
        {"keep_every": 1000},
        {"optimizer": {"schedule": {"steps": 100}}},
        {"loss": {"policy": "mask"}},
        {"loss": {"begin_at": 0.5}},
        {"loss": {"by_component": {"risky": {"policy": "mask"}}}},
        {"optimizer": {"lr": 1e-3}},
        {"model": "olmo-tiny"},
    ):
        assert PRETRAIN.fingerprint(settings(**what)) != base


def test_two_ways_of_saying_a_policy_are_one_fingerprint(settings):
    short = settings(loss={"policy": "mask", "at_or_above": 0.3})
    long = settings(loss={"bands": [{"at_or_above": 0.3, "do": "mask"}]})
    slung = settings(loss={"policy": "mask", "at_or_above": 1e-4})
    assert PRETRAIN.fingerprint(settings(loss="slung-masked")) == PRETRAIN.fingerprint(slung)
    assert PRETRAIN.fingerprint(short) == PRETRAIN.fingerprint(long)
    assert PRETRAIN.fingerprint(settings(loss={"policy": "keep"})) == PRETRAIN.fingerprint(settings())


def test_the_plan_is_what_the_run_does(tmp_path, settings):
    spec = settings(epochs=2, loss={"policy": "mask", "at_or_above": 0.3})
    plan = {row[0]: row[1] for row in PRETRAIN.plan(spec).tables[0].rows}
    by_policy = PRETRAIN.plan(spec).tables[1].rows
    artifact = run_stage(PRETRAIN, spec, tmp_path / "run", quiet=True)
    assert {name: plan[name] for name in ("parameters", "steps", "tokens")} == {
        name: artifact.counts[name] for name in ("parameters", "steps", "tokens")
    }
    keeping = sum(tokens for _, action, tokens, _ in by_policy if action == "keep")
    assert artifact.counts["loss_tokens"] == 2 * keeping
    page = PRETRAIN.show(artifact)
    assert "<svg" in page.html
    assert {row[0] for row in page.tables[0].rows} == {"clean", "risky"}


def test_the_loss_curve_escapes_names():
    line = LogLine(1, 1.0, 1e-3, 1.0, 1, 0, {"<b>": 1.0}, {}, 1.0, None, 0.0, 0.0)
    assert "<polyline" in loss_curve([line]) and "<b>" not in loss_curve([line])


def test_a_model_that_does_not_divide_over_the_ranks_is_refused_by_the_plan(settings):
    with pytest.raises(InputError, match="does not divide num_layers"):
        PRETRAIN.plan(settings(parallel={"pipeline": 3}))
    with pytest.raises(InputError, match="does not divide num_attention_heads"):
        PRETRAIN.plan(settings(parallel={"tensor": 3}))
    with pytest.raises(InputError, match=r"into 6 parts.*32 tokens"):
        PRETRAIN.plan(settings(parallel={"context": 3}))


def test_declaring_and_planning_load_no_heavy_library():
    heavy = "{'torch', 'megatron', 'transformers'}"
    code = f"import sys, pretrain.stage, pretrain.report.page; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_preset_has_olmo_proportions(settings):
    for name in PRESET_NAMES:
        architecture = Architecture.from_spec(ModelSpec(preset=name), 2048, 128)
        assert architecture.ffn_hidden_size == 4 * architecture.hidden_size
        assert architecture.num_query_groups == architecture.num_attention_heads
    with pytest.raises(ValidationError):
        ModelSpec.model_validate({"preset": "olmo-7b"})
