"""Tokens a second of `kind: pretrain` against the same model in transformers, and against the limit.

    python -m benchmarks.training.pretrain_throughput [--preset olmo-tiny] [--vocabulary 4096] [--precision fp32]
    [--rounds 20]

Both train the same architecture from the same weights on the same batch in one process, step by step in turn, gradients
clipped to norm 1. transformers trains with torch's fused AdamW, in bf16 under autocast; on a GPU also compiled. The
limit is the step's matrix products and attention alone, forward and backward, on random tensors of the same sizes.
Leaves with 1 when hormesis is slower than the fastest peer.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from benchmarks.training.paired import OneBatch, Size, batch, parse, ratio, seconds
from pretrain.huggingface.config import hf_config
from pretrain.loss.policy import LossPolicy
from pretrain.loss.spec import LossSpec
from pretrain.model.weights import gather, initialise
from pretrain.runtime.device import peak_flops
from pretrain.runtime.distributed import process_groups
from pretrain.training.trainer import Trainer


class Peer:
    """OlmoForCausalLM in transformers."""

    def __init__(self, size: Size, weights: dict[str, Tensor], device: torch.device) -> None:
        from transformers import OlmoConfig, OlmoForCausalLM

        self.model: Any = OlmoForCausalLM(OlmoConfig(**hf_config(size.architecture, 0, "float32"))).to(device).train()
        self.model.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})
        self.compiled = torch.compile(self.model)
        settings: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), **settings)
        self.batch = batch(size, device)
        self.passes = size.micro_batches
        self.half = size.precision != "fp32"
        self.device = device.type

    def step(self, model: Callable[..., Any]) -> None:
        """Forward, backward, clip, update."""
        for _ in range(self.passes):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
                logits = model(self.batch.inputs).logits
                loss = functional.cross_entropy(logits.flatten(0, 1).float(), self.batch.targets.flatten())
            (loss / self.passes).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


class Limit:
    """The products and the attention of a step, and nothing else."""

    def __init__(self, size: Size, device: torch.device) -> None:
        architecture, tokens = size.architecture, size.rows * size.sequence
        dtype = torch.float32 if size.precision == "fp32" else torch.bfloat16
        self.layers, self.passes = architecture.num_layers, size.micro_batches
        draw = partial(torch.randn, device=device, dtype=dtype)
        keys = architecture.num_query_groups * architecture.head_size
        hidden, wide = architecture.hidden_size, architecture.ffn_hidden_size
        sides = [(hidden, hidden + 2 * keys), (hidden, hidden), (hidden, 2 * wide), (wide, hidden)]
        self.projections = [(draw(tokens, rows), draw(columns, rows), draw(tokens, columns)) for rows, columns in sides]
        self.head = (draw(tokens, hidden), draw(architecture.vocab_size, hidden), draw(tokens, architecture.vocab_size))
        heads = (size.rows, architecture.num_attention_heads, size.sequence, architecture.head_size)
        self.heads = [draw(heads).requires_grad_() for _ in range(3)]

    def step(self) -> None:
        """All of it, one after another."""
        for _ in range(self.passes):
            for _ in range(self.layers):
                for operands in self.projections:
                    _products(*operands)
                attended = functional.scaled_dot_product_attention(*self.heads, is_causal=True)
                torch.autograd.grad(attended, self.heads, attended.detach())
            _products(*self.head)


def _products(inputs: Tensor, weight: Tensor, upstream: Tensor) -> None:
    """A projection's: forward, to its inputs, to its weight."""
    _ = inputs @ weight.t(), upstream @ weight, upstream.t() @ inputs


def main() -> int:
    """Measure, and print a table."""
    options, size = parse(__doc__ or "")
    with warnings.catch_warnings(), process_groups(size.spec().parallel, 0):
        warnings.simplefilter("ignore")
        fill = partial(initialise, architecture=size.architecture, seed=0)
        policy = LossPolicy.from_spec(LossSpec(), ["all"], 1)
        trainer = Trainer(size.spec(), size.architecture, policy, fill, replacement=0, steps=100_000)
        weights = dict(gather(trainer.model, size.architecture))
        peer = Peer(size, {name: weight.float().clone() for name, weight in weights.items()}, trainer.device)
        batches = OneBatch(size, trainer.device)
        arms: dict[str, Callable[[], object]] = {
            "hormesis": lambda: trainer.step(batches, 0, 0),
            "transformers": lambda: peer.step(peer.model),
        }
        if trainer.device.type == "cuda":
            arms["transformers, compiled"] = lambda: peer.step(peer.compiled)
        arms["limit: products and attention"] = Limit(size, trainer.device).step
        return _table(size, seconds(arms, options.rounds), options.rounds)


def _table(size: Size, took: Mapping[str, np.ndarray], rounds: int) -> int:
    print(f"# Throughput\n\n{size}; {rounds} rounds\n")
    print("| trainer | step, ms | tokens a second | MFU | hormesis is … times as fast (95 % interval) |")
    print("|---|---|---|---|---|")
    flops, peak = size.architecture.flops_per_token(size.sequence), peak_flops()
    for name, values in took.items():
        speed = size.tokens / float(np.median(values))
        utilisation = "" if peak is None else f"{speed * flops / peak:.3f}"
        middle, low, high = ratio(values, took["hormesis"])
        against = "" if name == "hormesis" else f"{middle:.3f} ({low:.3f} – {high:.3f})"
        print(f"| {name} | {1000 * np.median(values):.1f} | {speed:,.0f} | {utilisation} | {against} |")
    if torch.cuda.is_available():
        print(f"\npeak memory of all arms together {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    peers = [float(np.median(took[name] / took["hormesis"])) for name in took if name.startswith("transformers")]
    return int(min(peers) < 1.0)


if __name__ == "__main__":
    sys.exit(main())
