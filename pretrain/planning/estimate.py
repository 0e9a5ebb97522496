"""What a run will take, by arithmetic alone: steps, FLOPs, time, memory; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mixtures.formats.risk import STRUCTURAL, threshold_byte
from mixtures.reading.manifest import ComponentRecord
from pretrain.data.schedule import Streams, schedule_of
from pretrain.gpus import GPUS
from pretrain.loss.spec import LossSpec
from pretrain.model.architecture import Architecture
from pretrain.spec import LOGITS_AT_ONCE, ParallelSpec, PretrainSpec, recomputes_logits

# Measured with olmo-tiny on one AVX2 thread; stated with every estimate of time.
CPU_THREAD_FLOPS = 45e9

BESIDE_ACTIVATIONS = 1.15
"""What a layer works on while it is computed, as a factor of what is kept for the backward pass: measured with OLMo-1B,
micro-batches of 8 × 2,048 on an H100, whose peak was 45.1 GiB with compiled kernels and 48.0 without.
"""


@dataclass(frozen=True)
class Training:
    """A run as arithmetic sees it; `streams` are the training tokens of one epoch."""

    spec: PretrainSpec
    architecture: Architecture
    sequence_length: int
    streams: Streams

    @property
    def tokens(self) -> int:
        """Target tokens of the whole run."""
        return self.spec.epochs * sum(sum(phase) for phase in self.streams)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        schedule = schedule_of(self.streams, self.sequence_length, self.spec.epochs, self.spec.global_batch_size)
        return sum(epoch.steps for epoch in schedule)

    @property
    def flops(self) -> float:
        """Training FLOPs of the whole run."""
        return self.architecture.flops_per_token(self.sequence_length) * self.tokens

    @property
    def ranks(self) -> int:
        """Processes, as far as the file says."""
        return self.spec.launcher.ranks or 1

    @property
    def gpu_hours(self) -> float:
        """Hours of one GPU of the kind and at the utilisation that `launcher` states."""
        return self.flops / self.gpu_flops / 3600

    @property
    def gpu_flops(self) -> float:
        """FLOP/s that one GPU is expected to give."""
        return GPUS[self.spec.launcher.gpu].flops * self.spec.launcher.mfu


@dataclass(frozen=True)
class Memory:
    """Bytes of the fullest rank, by what holds them."""

    weights: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """All of it; CUDA, NCCL and the allocator take some GiB more."""
        return self.weights + self.activations + self.logits


def memory_per_rank(training: Training, parallel: ParallelSpec, micro_batch_size: int) -> Memory:
    """Memory of the fullest rank: weights with their gradients and optimizer state, activations, logits.

    fp32 holds weight, gradient and two moments (16 bytes a parameter); bf16 weight, fp32 gradient, fp32 master weight
    and two moments (18); the distributed optimizer divides moments and master weight over the copies of the model. For
    the backward pass a layer keeps, per token, 4 · hidden numbers around its norms, which only sequence parallelism
    divides, and 4 · hidden (queries, keys, values, what was attended to) + 3 · ffn (gate, up, their product; one more
    without compiled kernels) that tensor parallelism divides; attention scores are never stored.
    With `recompute` it keeps its input, and one layer at a time has the rest. The first of P pipeline stages holds P
    micro-batches at once, so that pipelining saves weights and no activations. Logits are held once, or, computed
    again, not at all but for the embedding's fp32 gradient; beside them a chunk of them exists twice in fp32, unless
    kernels are compiled and logits held.
    """
    spec, architecture = training.spec, training.architecture
    half = spec.half
    tokens = micro_batch_size * training.sequence_length // parallel.context
    rows = -(-architecture.vocab_size // parallel.tensor)
    held = tokens * rows * (2 if half else 4)
    recompute = recomputes_logits(spec.logits, held)
    compiled = spec.compiles(on_gpu=True)
    chunk = 0 if compiled and not recompute else 8 * min(tokens * rows, LOGITS_AT_ONCE)
    copies = max(training.ranks // parallel.model_size, 1) if parallel.distributed_optimizer else 1
    weight_bytes = 6 + 12 / copies if half else 8 + 8 / copies
    layers = architecture.num_layers / parallel.pipeline * architecture.layer_parameters
    around = 4 * architecture.hidden_size / (parallel.tensor if parallel.sequence else 1)
    inside = (4 * architecture.hidden_size + (3 if compiled else 4) * architecture.ffn_hidden_size) / parallel.tensor
    if spec.recompute:
        stored = architecture.num_layers * (around / 4) + around + inside
    else:
        stored = architecture.num_layers * (around + inside)
    return Memory(
        (layers + architecture.vocab_size * architecture.hidden_size) / parallel.tensor * weight_bytes,
        tokens * stored * (2 if half else 4) * BESIDE_ACTIVATIONS,
        chunk + (4 * rows * architecture.hidden_size if recompute else held),
    )


def tokens_by_action(loss: LossSpec, records: Sequence[ComponentRecord]) -> list[tuple[str, str, int]]:
    """(component, action, target tokens of one epoch) for every action that some token takes."""
    rows = []
    for record in records:
        counts: dict[str, int] = {}
        for byte, tokens in enumerate(record.risk_histogram):
            action = action_of(loss, record.name, byte)
            counts[action] = counts.get(action, 0) + tokens
        rows += [(record.name, action, tokens) for action, tokens in counts.items() if tokens]
    return rows


def action_of(loss: LossSpec, component: str, byte: int) -> str:
    """What the policy does with a target of this component and risk byte."""
    if byte == STRUCTURAL:
        return "mask"
    passed = [band.do for band in loss.bands_of(component) if byte >= threshold_byte(band.at_or_above)]
    return passed[-1] if passed else "keep"
