"""Several processes are one training: the same losses, the same gradients, one artifact.

Covers pretrain.runtime.distributed, pretrain.model.context_parallel.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

from infra.artifacts.artifact import read_artifact
from infra.stages.stage import run_stage
from pretrain.spec import PretrainSpec
from pretrain.stage import PRETRAIN
from tests.helpers import ROOT
from tests.helpers.many_ranks import on_ranks
from tests.helpers.token_mixtures import random_documents, write_mixture
from tests.helpers.training_runs import (
    fail_before_the_groups,
    few_steps,
    save_few_steps,
    train_after_a_long_check,
    wait_in_vain,
)

# two key/value heads for four query heads, and a row more than the tokenizer has, so that two ranks must pad as well
MODEL = {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "num_query_groups": 2, "vocab_size": 97}
LOSSES: dict[str, dict[str, Any]] = {
    "keep": {"policy": "keep"},
    "all actions": {
        "bands": [
            {"at_or_above": 0.1, "do": "mask"},
            {"at_or_above": 0.5, "do": "unlikelihood", "weight": 0.5},
            {"at_or_above": 0.9, "do": "remove"},
        ]
    },
    "all tokens": {"policy": "mask", "at_or_above": 0.3, "normalise_by": "all_tokens"},
    "packed": {"policy": "mask", "components": ["risky"]},  # on a mixture packed together, attention reset
}
LAYOUTS: dict[int, dict[str, dict[str, Any]]] = {
    1: {
        "not accumulated": {"micro_batch_size": 8},
        "recomputed": {"recompute": True, "deterministic": True},
        "logits computed again": {"logits": "recompute"},
    },
    2: {
        "data": {},
        "data, not accumulated": {"micro_batch_size": 4},
        "data, optimizer divided": {"parallel": {"distributed_optimizer": True}},
        "tensor": {"parallel": {"tensor": 2}},
        "tensor and sequence": {"parallel": {"tensor": 2, "sequence": True}, "micro_batch_size": 8},
        "tensor, logits computed again": {"parallel": {"tensor": 2}, "logits": "recompute"},
        "pipeline": {"parallel": {"pipeline": 2}},
        "context": {"parallel": {"context": 2}, "micro_batch_size": 4},
    },
    4: {
        "tensor × data": {"parallel": {"tensor": 2}},
        "tensor, sequence × data": {"parallel": {"tensor": 2, "sequence": True}, "micro_batch_size": 4},
        "tensor × data, optimizer divided": {"parallel": {"tensor": 2, "distributed_optimizer": True}},
        "tensor, sequence × pipeline, logits computed again": {
            "parallel": {"tensor": 2, "sequence": True, "pipeline": 2},
            "logits": "recompute",
        },
        "tensor, sequence × context": {"parallel": {"tensor": 2, "sequence": True, "context": 2}},
    },
}
RESET_LAYOUTS = ("tensor and sequence", "pipeline", "context")
PAIRS = {
    1: [("all actions", layout) for layout in LAYOUTS[1]],
    2: [
        ("keep", "data"),
        ("all tokens", "data"),
        *(("packed", layout) for layout in RESET_LAYOUTS),
        *(("all actions", layout) for layout in LAYOUTS[2]),
    ],
    4: [("all actions", layout) for layout in LAYOUTS[4]],
}


@pytest.fixture
def case(settings, tmp_path) -> Callable[[str, dict[str, Any]], PretrainSpec]:
    packing = {"together": "all", "reset_attention": True}
    components = {"clean": random_documents(40), "risky": random_documents(20, seed=1)}
    packed = {"mixture": str(write_mixture(tmp_path / "packed", components, {}, packing=packing))}
    return lambda loss, layout: settings(
        model=MODEL, loss=LOSSES[loss], **(packed if loss == "packed" else {}), **layout
    )


@pytest.fixture
def alone(tmp_path, case) -> Callable[[str], dict[str, torch.Tensor]]:
    """What a single process makes of a loss."""
    return functools.cache(lambda loss: few_steps(case(loss, {}), tmp_path / "alone" / loss))


@pytest.mark.parametrize("ranks", LAYOUTS, ids=["one rank", "two ranks", "four ranks"])
def test_every_layout_gives_the_losses_and_gradients_of_one_process(tmp_path, case, alone, ranks):
    cases = {f"{loss}, {layout}": case(loss, LAYOUTS[ranks][layout]).model_dump_json() for loss, layout in PAIRS[ranks]}
    if ranks == 1:
        save_few_steps(cases, tmp_path)
    else:
        on_ranks(ranks, save_few_steps, cases, tmp_path)
    for loss, layout in PAIRS[ranks]:
        results = torch.load(tmp_path / f"{loss}, {layout}.pt")
        divided = LAYOUTS[ranks][layout].get("parallel", {}).get("distributed_optimizer", False)
        assert results.keys() == ({"losses", "norms"} if divided else alone(loss).keys())
        for name, values in results.items():
            torch.testing.assert_close(
                values.float(), alone(loss)[name].float(), atol=1e-5, rtol=1e-5, msg=f"{name}: {loss}, {layout}"
            )


def test_the_losses_that_layouts_are_compared_by_differ(alone):
    losses = [alone(loss)["losses"] for loss in LOSSES]
    assert (losses[0] - losses[1]).abs().min() > 1e-3
    assert (losses[0] - losses[2]).abs().min() > 1e-3


def torchrun(ranks: int, *arguments: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_stage_runs_under_torchrun_and_writes_one_artifact(tmp_path, settings):
    spec = settings(checkpoint_every=5)
    code = tmp_path / "run.py"
    code.write_text(
        "import sys; from pathlib import Path; from infra.stages.stage import run_stage\n"
        "from pretrain.spec import PretrainSpec\n"
        "from pretrain.stage import PRETRAIN\n"
        "run_stage(PRETRAIN, PretrainSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2]), quiet=True)\n"
    )
    torchrun(2, str(code), spec.model_dump_json(), str(tmp_path / "two"))
    alone = run_stage(PRETRAIN, spec, tmp_path / "alone", quiet=True)
    two = read_artifact(tmp_path / "two", "pretrain")
    assert two.fingerprint == alone.fingerprint
    assert two.counts["tokens"] == alone.counts["tokens"]
    assert two.counts["cross_entropy"] == pytest.approx(alone.counts["cross_entropy"], abs=1e-4)
    losses = [[json.loads(line)["loss"] for line in (run.path / "log.jsonl").open()] for run in (two, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert not list(tmp_path.glob(".*partial"))


def test_eight_ranks_begin_with_a_check_that_takes_longer_than_a_collective_may(tmp_path, settings):
    spec = settings(micro_batch_size=1, collective_timeout=8 / 60)
    on_ranks(8, train_after_a_long_check, spec.model_dump_json(), tmp_path / "w", 9.0)
    assert (tmp_path / "w" / "checked").exists()
    assert json.loads((tmp_path / "w" / "pretrain.json").read_text())["ranks"] == 8


def test_inputs_that_the_first_rank_refuses_end_all_with_its_reason(tmp_path):
    on_ranks(3, fail_before_the_groups, tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == dict.fromkeys(
        "012", "the mixture is damaged"
    )


def test_a_rank_whose_collective_nobody_joins_says_how_long_it_has_waited_and_which_key_helps(tmp_path):
    on_ranks(2, wait_in_vain, tmp_path)
    assert "within 0.0333333 minutes" in (tmp_path / "0").read_text()
    assert "raise collective_timeout" in (tmp_path / "0").read_text()
