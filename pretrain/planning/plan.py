"""What `hormesis plan` says about a training: work, loss policy, memory, layout, time, and the script for Slurm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from infra.render.html import duration
from infra.render.page import Plan, Table
from mixtures.reading.manifest import ComponentRecord
from pretrain.data.schedule import streams_of
from pretrain.gpus import GPUS
from pretrain.launchers.options import LauncherSpec
from pretrain.loss.spec import LossSpec
from pretrain.planning.estimate import CPU_THREAD_FLOPS, Memory, Training, tokens_by_action
from pretrain.planning.layout import USABLE, Layout, best_layout, declared_layout
from pretrain.processes.sbatch import batch_script
from pretrain.spec import PretrainSpec
from pretrain.start.inputs import open_inputs

_GIB = 2**30


def plan(spec: PretrainSpec) -> Plan:
    """Steps, tokens, loss-bearing tokens, FLOPs, memory, layout and time, from the mixture's manifest alone."""
    inputs = open_inputs(spec, verify=False)
    training = Training(spec, inputs.architecture, inputs.mixture.sequence_length, streams_of(inputs.mixture))
    return Plan(
        f"pretrain {spec.name}",
        (
            Table("Model and work", ("what", "amount"), _work(training)),
            policy_table(spec.loss, inputs.mixture.manifest.components),
            memory_table(training),
            Table("Time (estimate)", ("on", "time"), durations(training)),
        ),
        (*_begins(spec.loss), *notes(training)),
        batch_script(spec.launcher, spec.name, [Path("runs") / spec.name]),
    )


def policy_table(loss: LossSpec, records: Sequence[ComponentRecord]) -> Table:
    """How many targets of one epoch the policy treats in which way; `records` are the manifest's components."""
    actions = tokens_by_action(loss, records)
    total = sum(tokens for _, _, tokens in actions) or 1
    rows = tuple((name, action, tokens, f"{tokens / total:.2%}") for name, action, tokens in actions)
    return Table("Target tokens of one epoch by loss policy", ("component", "policy", "tokens", "share"), rows)


def memory_table(training: Training) -> Table:
    """Memory of the fullest rank as the file divides the work, and as hormesis would."""
    declared, best = declared_layout(training), best_layout(training)
    room = f"of {GPUS[training.spec.launcher.gpu].memory / _GIB:,.0f} GiB on an {training.spec.launcher.gpu}"
    layouts = [declared] if best is None else [declared, best]
    rows = [
        ("layout", *map(_named, layouts)),
        ("micro_batch_size", *(layout.micro_batch_size for layout in layouts)),
        *((name, *(_bytes(getattr(layout.memory, key)) for layout in layouts)) for name, key in _HELD.items()),
    ]
    columns = ("what", "as declared", *(["as hormesis would"] if best else []))
    return Table(f"Memory of the fullest rank (estimate), {room}", columns, tuple(rows))


_HELD = {
    "weights, gradients, optimizer": "weights",
    "activations": "activations",
    "logits": "logits",
    "in all": "total",
}


def notes(training: Training) -> tuple[str, ...]:
    """What the figures assume, and what does not fit."""
    assumptions = (assumption(training),)
    if training.ranks == 1 and training.spec.precision == "fp32":
        return assumptions
    return assumptions + _warnings(training.spec.launcher, declared_layout(training).memory, best_layout(training))


def assumption(training: Training) -> str:
    """What the times assume."""
    launcher, flops = training.spec.launcher, training.architecture.flops_per_token(training.sequence_length)
    return (
        f"Times assume {launcher.mfu:.0%} of an {launcher.gpu}'s {GPUS[launcher.gpu].flops / 1e12:,.0f} TFLOP/s in "
        f"bf16 (`launcher.gpu`, `launcher.mfu`), {training.gpu_flops / flops:,.0f} tokens/s and GPU, or 45 GFLOP/s on "
        "a CPU thread."
    )


def _warnings(launcher: LauncherSpec, memory: Memory, best: Layout | None) -> tuple[str, ...]:
    room = USABLE * GPUS[launcher.gpu].memory
    if best is None:
        return (f"No layout fits {launcher.gpu}s: take more of them, or another global_batch_size.",)
    if memory.total > room:
        return (f"As declared it needs {_bytes(memory.total)}, and about {_bytes(room)} can be used.",)
    return ()


def _work(training: Training) -> tuple[tuple[str, object], ...]:
    spec, architecture = training.spec, training.architecture
    return (
        (
            "model",
            f"{spec.model.preset}: {architecture}",
        ),
        ("parameters", architecture.parameters),
        ("vocabulary", architecture.vocab_size),
        ("sequence length", training.sequence_length),
        ("epochs", spec.epochs),
        ("tokens", training.tokens),
        ("tokens per parameter", training.tokens / architecture.parameters),
        ("steps", training.steps),
        ("tokens per step", spec.global_batch_size * training.sequence_length),
        ("FLOPs", f"{training.flops:.3g}"),
    )


def durations(training: Training) -> tuple[tuple[str, str], ...]:
    """(on what, how long): a CPU thread and one GPU, or the launcher's GPUs with the GPU-hours that they take."""
    hours, gpu, ranks = training.gpu_hours, training.spec.launcher.gpu, training.ranks
    if training.spec.launcher.name == "local":
        seconds = training.flops / CPU_THREAD_FLOPS
        return ("one CPU thread", duration(seconds)), (f"one {gpu}", duration(hours * 3600))
    return (f"{ranks} × {gpu}", duration(hours / ranks * 3600)), ("GPU-hours", f"{hours:,.1f}")


def _begins(loss: LossSpec) -> tuple[str, ...]:
    return (f"The loss policy holds after {loss.begin_at:.0%} of the steps.",) if loss.begin_at else ()


def _named(layout: Layout) -> str:
    parallel = layout.parallel
    sizes = {"tensor": parallel.tensor, "pipeline": parallel.pipeline, "context": parallel.context}
    words = [f"{name} {size}" for name, size in sizes.items() if size > 1]
    return " × ".join([*words, f"data {layout.copies}"]) + (", sequence" if parallel.sequence else "")


def _bytes(size: float) -> str:
    return f"{size / _GIB:,.2f} GiB" if size >= _GIB else f"{size / 2**20:,.1f} MiB"
