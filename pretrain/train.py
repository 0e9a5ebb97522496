"""One pretraining run from mixture to Hugging Face folder: resume, loop, log, evaluate, export."""

from __future__ import annotations

import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from infra.atomic import write_json
from infra.errors import JobError
from infra.progress import Advance
from infra.stage import Workspace, is_leader
from pretrain.checkpoint import Checkpoints
from pretrain.data import Batches, DataSettings, build_epoch
from pretrain.device import device_name, has_fast_bf16, keep_freed_memory, peak_flops
from pretrain.distributed import data_parallel, is_first, process_groups, world_size
from pretrain.evaluate import held_out_cross_entropy
from pretrain.export import export
from pretrain.files import CHECKPOINTS, INDICES, LOG, MODEL, SUMMARY
from pretrain.initial import first_weights, take_up
from pretrain.inputs import Inputs, open_inputs
from pretrain.log import Log
from pretrain.loss import LossPolicy
from pretrain.parts import parts_of
from pretrain.passes import Pass, place_of
from pretrain.spec import PretrainSpec
from pretrain.trainer import Sums, Trainer
from pretrain.weights import gather


def pretrain(spec: PretrainSpec, workspace: Workspace) -> dict[str, Any]:
    """Train, evaluate and export in `workspace.path`; returns the counts for artifact.json.

    Takes up the newest checkpoint found there, and ends with the same weights, bit for bit, as an undisturbed run on
    the same machine with the same number of threads and ranks. Raises UserError or JobError.
    """
    summary = workspace.path / SUMMARY
    if not summary.exists():
        keep_freed_memory()
        with process_groups(spec.parallel, spec.seed):
            Run(spec, open_inputs(spec, verify=is_first()), workspace).complete()
    if not is_leader():  # the leader may have renamed the folder by now
        return {}
    found = json.loads(summary.read_text(encoding="utf-8"))
    # only now: a kill before this point finds the summary and does nothing again
    Checkpoints(workspace.path / CHECKPOINTS, spec.keep_every).drop_unkept(found["steps"])
    shutil.rmtree(workspace.path / INDICES, ignore_errors=True)
    return {key: found[key] for key in ("parameters", "steps", "tokens", "loss_tokens", "cross_entropy")}


@dataclass
class Progress:
    """How far a run is; part of every checkpoint. `totals` are flat global `Sums`."""

    step: int = 0
    seconds: float = 0.0
    totals: list[float] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)


class Run:
    """One run in progress on this rank."""

    def __init__(self, spec: PretrainSpec, inputs: Inputs, workspace: Workspace) -> None:
        self.spec = spec
        self.inputs = inputs
        self.workspace = workspace
        self.passes = inputs.passes(spec)
        self.steps = inputs.steps(spec)
        policy = LossPolicy.of(spec.loss, inputs.components, self.steps)
        weights = first_weights(spec, inputs.shape)
        self.trainer = Trainer(spec, inputs.shape, policy, weights, inputs.replacement, self.steps)
        self.checkpoints = Checkpoints(workspace.path / CHECKPOINTS, spec.keep_every)
        self.log = Log(workspace.path / LOG)
        self.settings = DataSettings(
            sequence_length=inputs.mixture.sequence_length,
            vocab_size=inputs.mixture.facts.vocab_size,
            end_of_document=inputs.mixture.facts.eos_id,
            cache=workspace.path / INDICES / inputs.mixture.content_sha256[:12],
            packing=inputs.mixture.packing,
        )
        self.progress = Progress()
        if spec.precision == "bf16" and not has_fast_bf16():
            workspace.note("precision: bf16 is emulated on this CPU and much slower than fp32")

    def complete(self) -> None:
        """Train to the end, then evaluate and export. Collective."""
        self._drop_indices()
        self._resume()
        with self.workspace.progress("pretrain", self.steps, "steps") as advance:
            advance(self.progress.step)
            self._train(advance)
        self._finish()

    def _drop_indices(self) -> None:
        """Megatron's index files are made anew by every process start: a kill may have left half of one."""
        if is_first():
            shutil.rmtree(self.workspace.path / INDICES, ignore_errors=True)
        dist.barrier()

    def _resume(self) -> None:
        state = self.checkpoints.restore(self._state, self.workspace.note)
        if state is None:
            take_up(self.trainer, self.spec)
        else:
            self.trainer.load_state(state)
            self.progress = Progress(**state["progress"])
            self.trainer.taken = self.progress.step
        if is_first():
            self.log.cut_after(self.progress.step)

    def _state(self, loading: bool) -> dict[str, Any]:
        state = self.trainer.state(loading)
        return state if loading else {**state, "progress": asdict(self.progress)}

    def _train(self, advance: Advance) -> None:
        batches: Batches | None = None
        current: Pass | None = None
        interval = _Interval(Sums.zero(self.trainer.components, self.trainer.device))
        while self.progress.step < self.steps:
            wanted, step = place_of(self.passes, self.progress.step)
            if batches is None or wanted != current:
                batches, current = self._batches(wanted), wanted
            rate = self.trainer.learning_rate
            sums, norm = self.trainer.step(batches, step)
            self.progress.step += 1
            self._check(norm)
            interval.add(sums)
            if self._reports():
                self._report(interval, rate, norm)
                interval = _Interval(Sums.zero(self.trainer.components, self.trainer.device))
            if self._saves():
                self.checkpoints.save(self.progress.step, self._state(False))
            advance(1)

    def _batches(self, wanted: Pass) -> Batches:
        parts = parts_of(self.inputs.mixture, wanted.cooldown)
        dataset = build_epoch(parts, self.settings, self.spec.seed + wanted.number)
        return Batches(dataset, self.spec.global_batch_size, self.spec.micro_batch_size, *data_parallel())

    def _check(self, norm: float) -> None:
        if self.spec.optimizer.clip and not math.isfinite(norm):
            raise JobError(
                f"the gradient is not finite at step {self.progress.step} of {self.steps}; lower optimizer.lr or raise "
                f"optimizer.warmup (the log up to here is {self.log.path})"
            )

    def _reports(self) -> bool:
        """Whether this step ends an interval; a checkpoint does too, so that nothing is measured over a kill."""
        step = self.progress.step
        return step % self.spec.log_every == 0 or step % self.spec.checkpoint_every == 0 or step == self.steps

    def _saves(self) -> bool:
        """The last step is only saved to be kept: what comes after it is quickly done again."""
        if self.progress.step == self.steps:
            return self.spec.keep_every is not None
        return self.progress.step % self.spec.checkpoint_every == 0

    def _report(self, interval: _Interval, rate: float, norm: float) -> None:
        sums = interval.sums.over_ranks()
        seconds = interval.seconds()
        tokens = int(sums.tokens.sum())
        loss = float(sums.loss / sums.denominator) if sums.denominator else 0.0
        if not math.isfinite(loss):
            raise JobError(f"the loss is {loss} at step {self.progress.step} of {self.steps}; lower optimizer.lr")
        flat = sums.flat.tolist()
        self.progress.totals = [a + b for a, b in zip(self.progress.totals or [0.0] * len(flat), flat, strict=True)]
        self.progress.seconds += seconds
        self.progress.last = {
            "step": self.progress.step,
            "loss": loss,
            "lr": rate,
            "grad_norm": norm if math.isfinite(norm) else None,
            "tokens": self._trained_tokens(),
            "cross_entropy": _by_component(self.inputs.components, sums),
            "tokens_per_second": round(tokens / seconds, 1),
            "mfu": self._mfu(tokens / seconds),
            "eta_seconds": round(seconds / interval.steps * (self.steps - self.progress.step), 1),
        }
        if is_first():
            self.log.append(self.progress.last)

    def _mfu(self, tokens_per_second: float) -> float | None:
        """Share of the devices' peak that the model's own FLOPs take; None where the peak is not known."""
        peak = peak_flops()
        flops = self.inputs.shape.flops_per_token(self.inputs.mixture.sequence_length) * tokens_per_second
        return None if peak is None else round(flops / (peak * world_size()), 4)

    def _trained_tokens(self) -> int:
        return int(Sums.of(torch.tensor(self.progress.totals, dtype=torch.float64)).tokens.sum())

    def _finish(self) -> None:
        """Evaluate, export, and write the summary last: it says that all the rest is there."""
        held_out = held_out_cross_entropy(self.trainer, self.inputs.mixture, self.spec, self.settings)
        state = gather(self.trainer.model, self.inputs.shape)
        if state is not None:
            mixture = self.inputs.mixture
            export(state, self.inputs.shape, mixture.tokenizer, mixture.facts.eos_id, self.workspace.path / MODEL)
            write_json(self.workspace.path / SUMMARY, self._summary(held_out))
        dist.barrier()

    def _summary(self, held_out: dict[str, Any]) -> dict[str, Any]:
        totals = Sums.of(torch.tensor(self.progress.totals, dtype=torch.float64))
        tokens = int(totals.tokens.sum())
        return {
            "steps": self.steps,
            "parameters": self.inputs.shape.parameters,
            "tokens": tokens,
            "loss_tokens": int(totals.denominator),
            "tokens_by_component": dict(zip(self.inputs.components, map(int, totals.tokens.tolist()), strict=True)),
            "cross_entropy": {name: result["cross_entropy"] for name, result in held_out.items()},
            "held_out": held_out,
            "train_cross_entropy": self.progress.last["cross_entropy"],
            "tokens_per_second": round(tokens / self.progress.seconds, 1),
            "seconds": round(self.progress.seconds, 1),
            "device": device_name(),
            "ranks": world_size(),
        }


class _Interval:
    """Sums since the last line of the log, and the time they took."""

    def __init__(self, zero: Sums) -> None:
        self.sums = zero
        self.steps = 0
        self._started = time.monotonic()

    def add(self, sums: Sums) -> None:
        self.sums = Sums.of(self.sums.flat + sums.flat)
        self.steps += 1

    def seconds(self) -> float:
        return max(time.monotonic() - self._started, 1e-9)


def _by_component(names: tuple[str, ...], sums: Sums) -> dict[str, float | None]:
    pairs = zip(sums.cross_entropy.tolist(), sums.tokens.tolist(), strict=True)
    means = [nats / tokens if tokens else None for nats, tokens in pairs]
    return dict(zip(names, means, strict=True))
