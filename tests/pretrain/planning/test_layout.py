"""What a training takes of a GPU, and which way of dividing it is chosen.

Covers pretrain.planning.layout, pretrain.planning.estimate, pretrain.gpus.
"""

from __future__ import annotations

from typing import Any

import pytest

from pretrain.gpus import GPUS, gpu_called
from pretrain.model.architecture import Architecture
from pretrain.planning.estimate import Training, memory_per_rank
from pretrain.planning.layout import best_layout, declared_layout
from pretrain.spec import LOGITS_AT_ONCE, ParallelSpec, PretrainSpec
from pretrain.stage import PRETRAIN

GIB = 2**30


def training(model: dict[str, Any], launcher: dict[str, Any], **changes: Any) -> Training:
    base = {"name": "test", "mixture": ".", "model": model, "launcher": {"name": "slurm", **launcher}}
    sizes = {"precision": "bf16", "micro_batch_size": 1, "global_batch_size": 512}
    spec = PretrainSpec.model_validate(base | sizes | changes)
    return Training(spec, Architecture.from_spec(spec.model, 0, 2048), 2048, ((10**9, 10**8 + 1),))


OLMO_7B = {
    "preset": "olmo-1b",
    "num_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "ffn_hidden_size": 11008,
}


def test_a_model_that_fits_is_not_divided_and_takes_the_largest_micro_batch_that_fits():
    layout = best_layout(training({"preset": "olmo-1b"}, {"nodes": 2}))
    assert layout is not None
    assert (layout.parallel, layout.copies) == (ParallelSpec(), 16)
    assert layout.micro_batch_size == 16
    double = declared_layout(training({"preset": "olmo-1b"}, {"nodes": 2}, micro_batch_size=32))
    assert layout.memory.total < 0.85 * GPUS["H100"].memory < double.memory.total


def test_a_model_that_does_not_fit_is_divided_inside_a_node_first():
    layout = best_layout(training(OLMO_7B, {"nodes": 4}))
    assert layout is not None
    assert (layout.parallel.tensor, layout.parallel.sequence, layout.parallel.pipeline) == (2, True, 1)
    smaller = best_layout(training(OLMO_7B, {"nodes": 32, "gpus_per_node": 1}))
    assert smaller is not None and (smaller.parallel.tensor, smaller.parallel.pipeline) == (1, 2)
    assert best_layout(training(OLMO_7B, {"nodes": 1, "gpus_per_node": 1})) is None


def test_memory_is_divided_as_megatron_divides_it():
    one = training({"preset": "olmo-1b"}, {"nodes": 2}, logits="hold")
    alone = memory_per_rank(one, ParallelSpec(), 4)
    assert alone.weights == 18 * 1_176_764_416
    assert alone.logits == 4 * 2048 * 50304 * 2
    plain = memory_per_rank(
        training({"preset": "olmo-1b"}, {"nodes": 2}, logits="hold", compile=False), ParallelSpec(), 4
    )
    assert plain.logits == alone.logits + 8 * LOGITS_AT_ONCE
    tensor = memory_per_rank(one, ParallelSpec(tensor=2), 4)
    sequence = memory_per_rank(one, ParallelSpec(tensor=2, sequence=True), 4)
    assert sequence.activations == alone.activations / 2 < tensor.activations < alone.activations
    stages = memory_per_rank(one, ParallelSpec(pipeline=2), 4)
    assert stages.activations == alone.activations  # two micro-batches are on their way
    assert alone.weights / 2 < stages.weights < alone.weights  # the embedding is not divided
    assert memory_per_rank(one, ParallelSpec(context=2), 4).activations == alone.activations / 2
    shared = memory_per_rank(one, ParallelSpec(distributed_optimizer=True), 4)
    assert shared.weights == (6 + 12 / 16) * 1_176_764_416


@pytest.mark.parametrize(("compiled", "peak"), [(True, 45.1), (False, 48.0)])
def test_memory_is_what_was_measured_on_an_h100(compiled, peak):
    one = training({"preset": "olmo-1b"}, {"nodes": 1, "gpus_per_node": 1}, compile=compiled)
    assert memory_per_rank(one, ParallelSpec(), 8).total / 2**30 == pytest.approx(peak, rel=0.03)


def test_logits_computed_again_take_the_same_memory_whatever_the_micro_batch():
    recomputed = training({"preset": "olmo-1b"}, {"nodes": 2})
    small, large = (memory_per_rank(recomputed, ParallelSpec(), size).logits for size in (16, 32))
    assert small == large == 8 * LOGITS_AT_ONCE + 4 * 50304 * 2048


def test_time_is_flops_over_the_stated_share_of_the_stated_gpu():
    one = training({"preset": "olmo-1b"}, {"gpu": "H100", "mfu": 0.5})
    assert one.tokens == 1_100_000_001
    assert one.steps == -(-(-(-(10**9) // 2048) + -(-(10**8 + 1) // 2048)) // 512)
    assert one.flops == pytest.approx(one.tokens * 7.463e9, rel=1e-3)
    assert one.gpu_hours == pytest.approx(one.flops / (0.5 * 989e12) / 3600)


def test_the_plan_names_layouts_and_what_does_not_fit(settings):
    launcher = {"name": "slurm", "gpus_per_node": 4, "gpu": "L4"}
    spec = settings(model={"num_layers": 2, "hidden_size": 8192, "num_attention_heads": 64}, launcher=launcher)
    plan = PRETRAIN.plan(spec)
    memory = plan.tables[2]
    assert memory.columns == ("what", "as declared", "as hormesis would")
    assert memory.rows[0] == ("layout", "data 4", "tensor 2 × data 2, sequence")
    assert any("As declared it needs" in note for note in plan.notes)
    assert [row[0] for row in plan.tables[3].rows] == ["4 × L4", "GPU-hours"]
    assert "#SBATCH --gpus-per-node=4" in plan.scripts[0][1]


def test_a_gpu_is_known_by_its_own_name():
    assert gpu_called("NVIDIA H100 80GB HBM3") == GPUS["H100"]
    assert gpu_called("NVIDIA L40S") == GPUS["L40S"]
    assert gpu_called("NVIDIA GeForce RTX 3090") is None
