"""Tokens a second of `kind: pretrain` against the same model in transformers with torch's AdamW.

    python -m benchmarks.pretrain_throughput [--preset olmo-tiny] [--vocabulary 4096] [--rounds 20]

Both train the same architecture from the same weights on the same batch in one process, step by step in turn, gradients
clipped to norm 1. Leaves with 1 when hormesis is slower.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional

from benchmarks.paired import OneBatch, Size, batch, parse, ratio, seconds
from pretrain.distributed import process_groups
from pretrain.hugging_face import hf_config
from pretrain.loss import LossPolicy
from pretrain.loss_spec import LossSpec
from pretrain.trainer import Trainer
from pretrain.weights import gather, initialise


class Theirs:
    """OlmoForCausalLM, torch's fused AdamW where there is one, fp32 or bf16 autocast."""

    def __init__(self, size: Size, weights: dict[str, torch.Tensor], device: torch.device) -> None:
        from transformers import OlmoConfig, OlmoForCausalLM

        self.model: Any = OlmoForCausalLM(OlmoConfig(**hf_config(size.shape, 0, "float32"))).to(device).train()
        self.model.load_state_dict({**weights, "lm_head.weight": weights["model.embed_tokens.weight"]})
        settings: dict[str, Any] = {"lr": 1e-4, "betas": (0.9, 0.95), "weight_decay": 0.1, "fused": True}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), **settings)
        self.batch = batch(size, device)
        self.half = size.precision == "bf16"
        self.device = device.type

    def step(self) -> float:
        """Forward, backward, clip, update; the loss."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            logits = self.model(self.batch.inputs).logits
            loss = functional.cross_entropy(logits.flatten(0, 1).float(), self.batch.targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss)


def main() -> int:
    """Measure, and print a table."""
    said, size = parse(__doc__ or "")
    with warnings.catch_warnings(), process_groups(size.spec().parallel, 0):
        warnings.simplefilter("ignore")
        fill = partial(initialise, shape=size.shape, seed=0)
        policy = LossPolicy.of(LossSpec(), ["all"], 1)
        ours = Trainer(size.spec(), size.shape, policy, fill, replacement=0, steps=100_000)
        weights = gather(ours.model, size.shape)
        assert weights is not None
        theirs = Theirs(size, {name: weight.float().clone() for name, weight in weights.items()}, ours.device)
        batches = OneBatch(size, ours.device)
        took = seconds({"hormesis": lambda: ours.step(batches, 0), "transformers": theirs.step}, said.rounds)
    print(f"# Throughput\n\n{size}; {said.rounds} rounds\n")
    print("| trainer | step, ms | tokens a second |\n|---|---|---|")
    for name, values in took.items():
        middle = float(np.median(values))
        print(f"| {name} | {1000 * middle:.1f} | {size.tokens / middle:,.0f} |")
    middle, low, high = ratio(took["transformers"], took["hormesis"])
    print(f"\nhormesis is {middle:.3f} times as fast (95 % interval {low:.3f} – {high:.3f})")
    return int(middle < 1.0)


if __name__ == "__main__":
    sys.exit(main())
