"""One model in training: Megatron's data-parallel wrapper, optimizer, schedule and pipeline on risk-aware batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as functional
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.transformer.module import Float16Module
from torch import Tensor

from mixtures.formats.risk import STRUCTURAL
from pretrain.data.epoch import Batch, Batches
from pretrain.loss.policy import BYTES, LossPolicy, LossTable, policy_loss, remove_inputs, risk_levels
from pretrain.metrics.sums import Sums
from pretrain.model.architecture import Architecture
from pretrain.model.context_parallel import on_this_rank
from pretrain.model.olmo import OlmoModel, build_model, transformer_config
from pretrain.runtime.device import current_device
from pretrain.runtime.distributed import sum_over_ranks
from pretrain.spec import PretrainSpec
from pretrain.training.checkpoint import ShardedState
from pretrain.training.gradients import finalize_gradients
from pretrain.training.optimizer import build_optimizer, build_scheduler

_OPTIMIZER_FORMAT = {"distrib_optim_sharding_type": "fully_reshardable"}  # any layout can take it up


class Trainer:
    """Weights, optimizer and learning-rate schedule of one run on this rank. Needs `distributed.process_groups`."""

    def __init__(
        self,
        spec: PretrainSpec,
        architecture: Architecture,
        policy: LossPolicy,
        fill: Callable[[OlmoModel], None],
        replacement: int,
        steps: int,
    ) -> None:
        """`fill` gives the model its weights, `replacement` is the token that stands for removed inputs, `steps` the
        length of the run.
        """
        self.device = current_device()
        self.policy = policy.to(self.device)
        self.replacement = replacement
        self.components = len(policy.first.cross_entropy)
        levels, self.levels = risk_levels(spec.loss)
        self._level = levels.to(self.device)
        dtype = torch.bfloat16 if spec.half else torch.float32
        self.config = transformer_config(
            architecture, spec.parallel, dtype, recompute=spec.recompute, repeatable=spec.deterministic
        )
        float8 = spec.precision == "fp8"
        model = build_model(architecture, self.config, spec.logits, spec.implementation, float8=float8)
        self.model = model.to(self.device)
        if spec.compiles(on_gpu=self.device.type == "cuda"):
            self.model.compile_kernels()
        fill(self.model)  # before it is wrapped, since the wrapper and the optimizer copy the weights
        self._wrap(spec)
        self.optimizer = build_optimizer(spec, self.wrapped)
        self.scheduler = build_scheduler(spec.optimizer, self.optimizer, steps)
        self.config.grad_scale_func = self.optimizer.scale_loss
        self._forward_backward = get_forward_backward_func()

    def _wrap(self, spec: PretrainSpec) -> None:
        inner = Float16Module(self.config, self.model) if spec.half else self.model
        copies = parallel_state.get_data_parallel_world_size(with_context_parallel=True)
        settings = DistributedDataParallelConfig(
            grad_reduce_in_fp32=spec.half,
            use_distributed_optimizer=spec.parallel.distributed_optimizer,
            overlap_grad_reduce=copies > 1,  # while the backward pass goes on
        )
        self.wrapped = DistributedDataParallel(self.config, settings, inner)
        if copies > 1:  # gradients are reduced in the last micro-batch of a step only, when their sums are complete
            self.config.no_sync_func = self.wrapped.no_sync
        self.config.finalize_model_grads_func = finalize_gradients

    @property
    def no_sums(self) -> Sums:
        """The sums of nothing."""
        return Sums.zero(self.components, len(self.levels), self.device)

    def step(self, batches: Batches, step: int, taken: int) -> tuple[Sums, Tensor]:
        """One optimizer step on step `step` of an epoch, after `taken` steps of the run; returns this rank's sums and
        the global gradient norm, fp32 [].

        Where the norm is not finite nothing was learned. On a GPU it returns before the work is done.
        """
        sums = self.accumulate(batches, step, taken)
        norm = self.optimizer.step()
        self.scheduler.step(1)
        return sums, norm

    def accumulate(self, batches: Batches, step: int, taken: int) -> Sums:
        """Gradients of one step, in each parameter's `main_grad`: the global sum divided by the global denominator."""
        self.wrapped.zero_grad_buffer()
        self.optimizer.zero_grad()
        forward = partial(self._training_step, self.policy.at(taken))
        flat_sums = self._pipeline(batches, step, forward, forward_only=False)
        return Sums.from_flat(sum(flat_sums, start=self.no_sums.flat), self.components)

    @torch.no_grad()
    def evaluate(self, batches: Batches) -> Tensor:
        """Summed cross-entropy (nats) and count of all targets by risk byte, float64 [2, 256]. Collective.

        No policy applies.
        """
        total = torch.zeros(2, BYTES, dtype=torch.float64, device=self.device)
        self.wrapped.eval()
        for step in range(batches.steps):
            for by_risk in self._pipeline(batches, step, self._evaluation_step, forward_only=True):
                total += by_risk
        self.wrapped.train()
        return sum_over_ranks(total)

    @torch.no_grad()
    def row_losses(self, batches: Batches, step: int, taken: int) -> list[float]:
        """Summed cross-entropy of each of this rank's rows of the step that was the run's after `taken`; [] where
        another rank says it. Collective.
        """
        self.wrapped.eval()
        rows = self._pipeline(batches, step, partial(self._row_step, self.policy.at(taken)), forward_only=True)
        self.wrapped.train()
        return torch.cat(rows).tolist() if rows and parallel_state.get_tensor_model_parallel_rank() == 0 else []

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self._groups[0]["lr"])

    def state(self, loading: bool) -> ShardedState:
        """Sharded state of model, optimizer and schedule, as Megatron's distributed checkpoints take it."""
        sharded = self.model.sharded_state_dict()
        return {
            "model": sharded,
            "optimizer": self.optimizer.sharded_state_dict(sharded, is_loading=loading, metadata=_OPTIMIZER_FORMAT),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state(self, state: ShardedState) -> None:
        """Take up a state that `Checkpoints.restore` returned."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.continue_schedule(state["scheduler"])

    def continue_moments(self, state: ShardedState) -> None:
        """Take up the moments of another run's optimizer; rates and decay stay those of this run."""
        settings = [{**group} for group in self._groups]
        self.optimizer.load_state_dict(state)
        for group, before in zip(self._groups, settings, strict=True):
            group |= {key: value for key, value in before.items() if key not in ("params", "step")}

    def continue_schedule(self, state: ShardedState) -> None:
        """Take up a schedule where it was left, whatever this run's own would be."""
        for group in self._groups:  # Megatron prefers a group's own ends of the schedule to those it has loaded
            group |= {"max_lr": state["max_lr"], "min_lr": state["min_lr"]}
        self.scheduler.num_steps = 0  # Megatron adds the saved steps to those already taken
        self.scheduler.load_state_dict(state)

    @property
    def _groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def _pipeline(self, batches: Batches, step: int, forward: Any, *, forward_only: bool) -> list[Tensor]:
        """Megatron's pipeline over one step's micro-batches; what `forward`'s loss reports, on the last stage only."""
        return self._forward_backward(
            forward_step_func=forward,
            data_iterator=on_this_rank(batches.read(step, self.device)),
            model=[self.wrapped],
            num_microbatches=len(batches.micro_batches(step)),
            seq_length=batches.sequence_length,
            micro_batch_size=batches.micro_size,
            forward_only=forward_only,
        )

    def _training_step(self, table: LossTable, reader: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
        batch = next(reader)
        return self._forward(model, self._inputs(batch, table), batch), partial(self._loss, batch, table)

    def _evaluation_step(self, reader: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
        batch = next(reader)
        return self._forward(model, batch.inputs, batch), partial(_by_risk, batch)

    def _row_step(self, table: LossTable, reader: Iterator[Batch], model: Any) -> tuple[Tensor, Any]:
        batch = next(reader)
        return self._forward(model, self._inputs(batch, table), batch), partial(_by_row, batch)

    def _inputs(self, batch: Batch, table: LossTable) -> Tensor:
        return remove_inputs(batch.inputs, batch.input_risk, batch.input_component, table, self.replacement)

    def _forward(self, model: Any, inputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy [batch, sequence] on the last pipeline stage, hidden states [sequence, batch, hidden] on the
        others.
        """
        positions = torch.arange(inputs.shape[1], device=self.device).expand_as(inputs)
        return model(inputs, positions, batch.document, labels=batch.targets)

    def _loss(self, batch: Batch, table: LossTable, cross_entropy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Megatron's triple: summed loss, its denominator, and what to report, the flat `Sums` of the micro-batch."""
        loss, count = policy_loss(cross_entropy, batch.target_risk, batch.component, table)
        plain = self._by_level(batch, cross_entropy.detach())
        return loss, count, torch.cat([torch.stack([loss.detach().double(), count.double()]), plain.ravel()])

    def _by_level(self, batch: Batch, cross_entropy: Tensor) -> Tensor:
        """Nats and counts of the targets by component and risk level, float64 [2, components × levels].

        A product with one-hot rows, since adding by index has no fixed order on a GPU.
        """
        is_target = (batch.target_risk != STRUCTURAL).double()
        cell = batch.component * len(self.levels) + self._level[batch.target_risk.long()]
        rows = functional.one_hot(cell.ravel(), self.components * len(self.levels)).double()
        return torch.stack([(cross_entropy.double() * is_target).ravel(), is_target.ravel()]) @ rows


def _by_risk(batch: Batch, cross_entropy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Megatron's triple, of `cross_entropy` [batch, sequence]; what counts is its last, nats and number of targets by
    risk byte, float64 [2, 256].
    """
    byte = batch.target_risk.long().flatten()
    total = torch.zeros(2, BYTES, dtype=torch.float64, device=byte.device)
    total[0].index_add_(0, byte, cross_entropy.double().flatten())
    total[1].index_add_(0, byte, torch.ones_like(byte, dtype=torch.float64))
    total[:, STRUCTURAL] = 0.0
    return cross_entropy.sum(), torch.ones((), dtype=torch.int, device=byte.device), total


def _by_row(batch: Batch, cross_entropy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Megatron's triple, of `cross_entropy` [batch, sequence]; the last is nats by row, float64 [batch]."""
    rows = (cross_entropy.double() * (batch.target_risk != STRUCTURAL)).sum(1)
    return cross_entropy.sum(), torch.ones((), dtype=torch.int, device=rows.device), rows
