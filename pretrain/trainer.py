"""One model in training: Megatron's data-parallel wrapper, optimizer, schedule and pipeline on risk-aware batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer import OptimizerConfig, get_megatron_optimizer
from megatron.core.optimizer_param_scheduler import OptimizerParamScheduler
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.transformer.module import Float16Module
from torch import Tensor

from mixtures.risk import STRUCTURAL
from pretrain.context import on_this_rank
from pretrain.data import Batch, Batches
from pretrain.device import current_device
from pretrain.distributed import sum_over_ranks
from pretrain.loss import BYTES, LossPolicy, LossTable, policy_loss, remove_inputs
from pretrain.model import OlmoModel, build_model, transformer_config
from pretrain.presets import Architecture
from pretrain.spec import OptimizerSpec, PretrainSpec


@dataclass(frozen=True)
class Sums:
    """What a set of batches adds up to, on this rank; `over_ranks` makes it global.

    `loss` and `denominator` are the policy's; `cross_entropy` and `tokens` are plain cross-entropy (nats) and target
    counts by component, [components], whatever the policy does with them.
    """

    loss: Tensor
    denominator: Tensor
    cross_entropy: Tensor
    tokens: Tensor

    @classmethod
    def zero(cls, components: int, device: torch.device) -> Sums:
        """The sums of nothing, in float64 so that long intervals add up exactly enough."""
        return cls.of(torch.zeros(2 + 2 * components, dtype=torch.float64, device=device))

    @classmethod
    def of(cls, flat: Tensor) -> Sums:
        """Undo `flat`."""
        half = 2 + (len(flat) - 2) // 2
        return cls(flat[0], flat[1], flat[2:half], flat[half:])

    @property
    def flat(self) -> Tensor:
        """All sums in one vector."""
        return torch.cat([self.loss[None], self.denominator[None], self.cross_entropy, self.tokens])

    def over_ranks(self) -> Sums:
        """The global sums. Collective."""
        return Sums.of(sum_over_ranks(self.flat.clone()))


class Trainer:
    """Weights, optimizer and learning-rate schedule of one run on this rank. Needs `distributed.process_groups`."""

    def __init__(
        self,
        spec: PretrainSpec,
        shape: Architecture,
        policy: LossPolicy,
        fill: Callable[[OlmoModel], None],
        replacement: int,
        steps: int,
    ) -> None:
        """`fill` gives the model its weights, `replacement` is the token that stands for removed inputs, `steps` the
        length of the run.

        `taken` counts the steps of the run; set it when a run is taken up again.
        """
        self.device = current_device()
        self.policy = policy.to(self.device)
        self.taken = 0
        self.replacement = replacement
        self.components = len(self.table.cross_entropy)
        dtype = torch.bfloat16 if spec.precision == "bf16" else torch.float32
        self.config = transformer_config(shape, spec.parallel, dtype)
        self.model = build_model(shape, self.config).to(self.device)
        fill(self.model)
        self._wrap(spec)
        self.optimizer = get_megatron_optimizer(_optimizer_config(spec), [self.wrapped])
        self.scheduler = _scheduler(spec.optimizer, self.optimizer, steps)
        self.config.grad_scale_func = self.optimizer.scale_loss
        self._forward_backward = get_forward_backward_func()

    def _wrap(self, spec: PretrainSpec) -> None:
        half = spec.precision == "bf16"
        inner = Float16Module(self.config, self.model) if half else self.model
        settings = DistributedDataParallelConfig(grad_reduce_in_fp32=half)
        self.wrapped = DistributedDataParallel(self.config, settings, inner)
        self.config.finalize_model_grads_func = finalize_model_grads

    @property
    def table(self) -> LossTable:
        """The policy that holds in the next step."""
        return self.policy.at(self.taken)

    def step(self, batches: Batches, step: int) -> tuple[Sums, float]:
        """One optimizer step on step `step` of an epoch; returns this rank's sums and the global gradient norm."""
        sums = self.accumulate(batches, step)
        _, norm, _ = self.optimizer.step()
        self.scheduler.step(1)
        self.taken += 1
        return sums, float(norm)

    def accumulate(self, batches: Batches, step: int) -> Sums:
        """Gradients of one step, in each parameter's `main_grad`: the global sum divided by the global denominator."""
        self.wrapped.zero_grad_buffer()
        self.optimizer.zero_grad()
        parts = self._schedule(batches, step, self._training_step, forward_only=False)
        return Sums.of(sum(parts, start=Sums.zero(self.components, self.device).flat))

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> Tensor:
        """Summed cross-entropy (nats) and count of all targets by risk byte, float64 [2, 256]. Collective."""
        total = torch.zeros(2, BYTES, dtype=torch.float64, device=self.device)
        self.wrapped.eval()
        for step in range(batches.steps):
            for part in self._schedule(batches, step, self._evaluation_step, forward_only=True):
                total += part
        self.wrapped.train()
        return sum_over_ranks(total)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._groups[0]["lr"])

    def state(self, loading: bool) -> dict[str, Any]:
        """Sharded state of model, optimizer and schedule, as Megatron's distributed checkpoints take it."""
        sharded = self.model.sharded_state_dict()
        return {
            "model": sharded,
            "optimizer": self.optimizer.sharded_state_dict(sharded, is_loading=loading),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a state that `Checkpoints.restore` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.continue_schedule(state["scheduler"])

    def continue_moments(self, state: dict[str, Any]) -> None:
        """Take up the moments of another run's optimizer; rates and decay stay those of this run."""
        own = [{key: group[key] for key in group if key not in ("params", "step")} for group in self._groups]
        self.optimizer.load_state_dict(state)
        for group, values in zip(self._groups, own, strict=True):
            group |= values

    def continue_schedule(self, state: dict[str, Any]) -> None:
        """Take up a schedule where it was left, whatever this run's own would be."""
        for group in self._groups:  # Megatron prefers a group's own ends of the schedule to those it has loaded
            group |= {"max_lr": state["max_lr"], "min_lr": state["min_lr"]}
        self.scheduler.num_steps = 0  # Megatron adds the saved steps to those already taken
        self.scheduler.load_state_dict(state)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _schedule(self, batches: Batches, step: int, forward: Any, *, forward_only: bool) -> list[Tensor]:
        """Megatron's pipeline over one step's micro-batches; what `forward`'s loss reports, on the last stage only."""
        return self._forward_backward(
            forward_step_func=forward,
            data_iterator=on_this_rank(batches.read(step, self.device)),
            model=[self.wrapped],
            num_microbatches=batches.micro_batches(step),
            seq_length=batches.dataset.config.sequence_length,
            micro_batch_size=batches.micro_size,
            forward_only=forward_only,
        )

    def _training_step(self, reader: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
        batch = next(reader)
        inputs = remove_inputs(batch.inputs, batch.input_risk, batch.input_component, self.table, self.replacement)
        return self._forward(model, inputs, batch), partial(self._loss, batch)

    def _evaluation_step(self, reader: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
        batch = next(reader)
        return self._forward(model, batch.inputs, batch), partial(_by_risk, batch)

    def _forward(self, model: Any, inputs: Tensor, batch: Batch) -> Tensor:
        """Per-token cross-entropy on the last pipeline stage, hidden states on the others."""
        positions = torch.arange(inputs.shape[1], device=self.device).expand_as(inputs)
        return model(inputs, positions, batch.attention_mask, labels=batch.targets)

    def _loss(self, batch: Batch, cross_entropy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Megatron's triple: summed loss, its denominator, and what to report."""
        loss, count = policy_loss(cross_entropy, batch.target_risk, batch.component, self.table)
        real = batch.target_risk != STRUCTURAL
        plain = Sums.zero(self.components, self.device)
        nats = cross_entropy.detach().double()
        for number in range(self.components):
            own = real & (batch.component == number)
            plain.cross_entropy[number] = (nats * own).sum()
            plain.tokens[number] = own.sum()
        return loss, count, Sums(loss.detach().double(), count.double(), plain.cross_entropy, plain.tokens).flat


def _by_risk(batch: Batch, cross_entropy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    byte = batch.target_risk.long().flatten()
    total = torch.zeros(2, BYTES, dtype=torch.float64, device=byte.device)
    total[0].index_add_(0, byte, cross_entropy.double().flatten())
    total[1].index_add_(0, byte, torch.ones_like(byte, dtype=torch.float64))
    total[:, STRUCTURAL] = 0.0
    return cross_entropy.sum(), torch.ones((), dtype=torch.int, device=byte.device), total


def _optimizer_config(spec: PretrainSpec) -> OptimizerConfig:
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


def _scheduler(settings: OptimizerSpec, optimizer: Any, steps: int) -> OptimizerParamScheduler:
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
