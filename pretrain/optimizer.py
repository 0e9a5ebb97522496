"""AdamW and its learning-rate schedule, on Megatron's machinery."""

from __future__ import annotations

import math
from typing import Any

import torch
from megatron.core.optimizer import ChainedOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler

from pretrain.spec import OptimizerSpec, PretrainSpec


class CarefulOptimizer(ChainedOptimizer):
    """Megatron's optimizer, which leaves weights and moments as they are when the gradient is not finite."""

    norm = 0.0

    def get_grad_norm(self) -> float:
        """Global norm of the gradient, of which the clipping makes use. Collective."""
        self.norm = float(super().get_grad_norm())
        return self.norm

    def step_with_ready_grads(self) -> bool:
        """Update, unless the last norm was not finite; whether it did."""
        return math.isfinite(self.norm) and bool(super().step_with_ready_grads())


def build_optimizer(spec: PretrainSpec, model: Any) -> CarefulOptimizer:
    """The optimizer of a model in Megatron's data-parallel wrapper."""
    return CarefulOptimizer(get_megatron_optimizer(_config(spec), [model]).chained_optimizers)


def _config(spec: PretrainSpec) -> OptimizerConfig:
    half = spec.precision == "bf16"
    settings = spec.optimizer
    return OptimizerConfig(
        optimizer="adam",
        lr=settings.lr,
        min_lr=settings.final_lr,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.betas[0],
        adam_beta2=settings.betas[1],
        adam_eps=settings.eps,
        clip_grad=settings.clip,
        bf16=half,
        params_dtype=torch.bfloat16 if half else torch.float32,
    )


def build_scheduler(settings: OptimizerSpec, optimizer: Any, steps: int) -> OptimizerParamScheduler:
    """Linear warm-up from 0, then cosine down to `final_lr` at the last step; the run may be a part of it."""
    taken = 0 if settings.schedule is None else settings.schedule.taken
    steps = steps if settings.schedule is None else settings.schedule.steps
    warmup = min(round(settings.warmup * steps), max(steps - 1, 0))
    scheduler = OptimizerParamScheduler(
        optimizer,
        init_lr=0.0,
        max_lr=settings.lr,
        min_lr=settings.final_lr,
        lr_warmup_steps=warmup,
        lr_decay_steps=max(steps, 1),
        lr_decay_style="cosine",
        start_wd=settings.weight_decay,
        end_wd=settings.weight_decay,
        wd_incr_steps=steps,
        wd_incr_style="constant",
    )
    scheduler.step(taken + 1)  # the first step is taken at the first rate above 0, the last at `final_lr`
    return scheduler
