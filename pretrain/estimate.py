"""What a run will take, by arithmetic alone: FLOPs, memory per rank, time; nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mixtures.risk import STRUCTURAL, threshold_byte
from pretrain.inputs import Inputs
from pretrain.presets import Architecture
from pretrain.spec import LossSpec, PretrainSpec

# Stated with every estimate of time. The CPU figure was measured with olmo-tiny on one AVX2 thread; the GPU one is what
# OLMo-core's published 44,000 tokens/s of OLMo-1B on an H100 come to.
CPU_THREAD_FLOPS = 45e9
H100_FLOPS = 0.40 * 989e12


def total_flops(inputs: Inputs, spec: PretrainSpec) -> float:
    """Training FLOPs of the whole run."""
    tokens = spec.epochs * inputs.mixture.tokens
    return inputs.shape.flops_per_token(inputs.mixture.sequence_length) * tokens


def memory_per_rank(shape: Architecture, spec: PretrainSpec, sequence_length: int) -> dict[str, float]:
    """Bytes on one rank: weights with their gradients and optimizer state, activations of one micro-batch, logits.

    fp32 holds weight, gradient and two moments (16 bytes a parameter); bf16 weight, fp32 gradient, fp32 master weight
    and two moments (18). A layer keeps about 10 · hidden + 5 · ffn numbers a token for the backward pass (attention
    scores are never stored); logits exist three times in fp32 (themselves, their log-softmax, its gradient).
    """
    half = spec.precision == "bf16"
    tokens = spec.micro_batch_size * sequence_length
    layers = shape.num_layers // spec.parallel.pipeline
    per_layer = 10 * shape.hidden_size + 5 * shape.ffn_hidden_size
    return {
        "weights, gradients, optimizer": shape.parameters / spec.parallel.model_size * (18 if half else 16),
        "activations": tokens * layers * per_layer / spec.parallel.tensor * (2 if half else 4),
        "logits": tokens * shape.vocab_size / spec.parallel.tensor * 12.0,
    }


def tokens_by_action(loss: LossSpec, records: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """(component, action, target tokens of one epoch) for every action that some token takes."""
    rows = []
    for record in records:
        counts: dict[str, int] = {}
        for byte, tokens in enumerate(record["risk_histogram"]):
            action = action_of(loss, record["name"], byte)
            counts[action] = counts.get(action, 0) + tokens
        rows += [(record["name"], action, tokens) for action, tokens in counts.items() if tokens]
    return rows


def action_of(loss: LossSpec, component: str, byte: int) -> str:
    """What the policy does with a target of this component and risk byte."""
    if byte == STRUCTURAL:
        return "mask"
    passed = [band.do for band in loss.bands_of(component) if byte >= threshold_byte(band.at_or_above)]
    return passed[-1] if passed else "keep"
