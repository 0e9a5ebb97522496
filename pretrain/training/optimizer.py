"""AdamW and its learning-rate schedule, on Megatron's machinery."""

from __future__ import annotations

from typing import Any

import torch
from megatron.core.optimizer import ChainedOptimizer, OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from torch import Tensor

from pretrain.runtime.megatron_patches import step_beside_moments
from pretrain.spec import OptimizerSpec, PretrainSpec
from pretrain.training.gradients import global_norm


class CarefulOptimizer(ChainedOptimizer):
    """Megatron's optimizer, which leaves weights and moments as they are when the gradient is not finite, and lets the
    device decide that: the host does not wait for the norm.
    """

    @torch.no_grad()
    def step(self) -> Tensor:
        """Clip to the global norm and update; returns the norm of the gradient, fp32 []. Collective."""
        self.prepare_grads()
        gradients = []
        for optimizer in self.chained_optimizers:
            gradients += optimizer.get_main_grads_for_grad_norm()
        norm = global_norm(gradients, self.get_grad_stats_parallel_group())
        clip = self.config.clip_grad
        divisor = ((norm + 1e-6) / clip).clamp(min=1.0) if clip > 0 else torch.ones_like(norm)
        if self._update_with(divisor, norm.isfinite()):
            self.step_with_ready_grads()
        return norm

    def _update_with(self, divisor: Tensor, is_finite: Tensor) -> bool:
        """Have gradients divided before the update; whether there is to be one, as far as the host decides it."""
        if len(self.torch_optimizers) == len(self.chained_optimizers):
            # PyTorch's fused kernels, which GradScaler uses, take a divisor and a flag that makes them change nothing.
            for optimizer in self.torch_optimizers:
                optimizer.grad_scale, optimizer.found_inf = divisor, (~is_finite).float()
            return True
        weights = [weight for group in self.param_groups for weight in group["params"]]
        torch._foreach_div_([weight.grad for weight in weights if weight.grad is not None], divisor)
        return bool(is_finite)

    def sharded_state_dict(self, *args: Any, is_loading: bool = False, **kwargs: Any) -> Any:
        """Megatron's; one that is to be filled by the distributed optimizer needs moments to fill."""
        if is_loading:
            self._allocate()
        return super().sharded_state_dict(*args, is_loading=is_loading, **kwargs)

    def load_state_dict(self, state_dict: Any) -> None:
        """Megatron's, which gives all weights one tensor that counts the steps, and torch counts in each."""
        with step_beside_moments():
            super().load_state_dict(state_dict)
        for optimizer in self.torch_optimizers:
            for moments in optimizer.state.values():
                moments["step"] = moments["step"].clone()

    @property
    def torch_optimizers(self) -> list[torch.optim.AdamW]:
        """The optimizers that do the work, where they are PyTorch's own."""
        optimizers = [chained.optimizer for chained in self.chained_optimizers]
        return [optimizer for optimizer in optimizers if isinstance(optimizer, torch.optim.AdamW)]

    def _allocate(self) -> None:
        """Zero moments for every weight, where an optimizer has none yet."""
        for optimizer in self.torch_optimizers:
            if optimizer.state:
                continue
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    moments = {name: torch.zeros_like(weight) for name in ("exp_avg", "exp_avg_sq")}
                    optimizer.state[weight] = {"step": torch.zeros((), device=weight.device), **moments}


def build_optimizer(spec: PretrainSpec, model: Any) -> CarefulOptimizer:
    """The optimizer of a model in Megatron's data-parallel wrapper."""
    optimizer = CarefulOptimizer(get_megatron_optimizer(_config(spec), [model]).chained_optimizers)
    for torch_optimizer in optimizer.torch_optimizers:  # Transformer Engine's and Apex's are fused anyway
        for group in torch_optimizer.param_groups:
            group["fused"] = True
    return optimizer


def _config(spec: PretrainSpec) -> OptimizerConfig:
    half = spec.half
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
        use_distributed_optimizer=spec.parallel.distributed_optimizer,
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
