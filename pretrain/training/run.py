"""One pretraining run from mixture to Hugging Face folder: resume, loop, evaluate, export."""

from __future__ import annotations

import collections
import contextlib
import math
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch.distributed as dist

from infra.artifacts.records import JsonObject, to_json
from infra.atomic import remove_temporaries, write_json, write_text
from infra.errors import JobError, Preempted
from infra.render.progress import Advance
from infra.stages.stage import Workspace, is_leader
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.data.prefetch import read_ahead
from pretrain.data.schedule import Epoch, epoch_at
from pretrain.data.token_files import token_files_of
from pretrain.files import CARD, CHECKPOINTS, INDICES, MODEL, PROFILE, SUMMARY
from pretrain.huggingface.folder import Weights, export
from pretrain.loss.policy import LossPolicy
from pretrain.metrics.record import LogInterval, Progress, Record
from pretrain.metrics.sinks import check_installed
from pretrain.metrics.summary import HeldOutCrossEntropy, TrainSummary
from pretrain.metrics.sums import Sums
from pretrain.model.weights import gather
from pretrain.report.card import model_card
from pretrain.runtime.device import has_fast_bf16, keep_freed_memory, repeatable
from pretrain.runtime.distributed import any_rank, data_parallel, is_first, process_groups
from pretrain.runtime.late import Late
from pretrain.runtime.preemption import Preemption
from pretrain.runtime.profiling import profiled
from pretrain.spec import PretrainSpec
from pretrain.start.inputs import Inputs, open_inputs
from pretrain.training.checkpoint import Checkpoints, ShardedState
from pretrain.training.evaluate import held_out_cross_entropy
from pretrain.training.initial import first_weights, restore_start
from pretrain.training.offenders import offenders
from pretrain.training.trainer import Trainer


def pretrain(spec: PretrainSpec, workspace: Workspace, *, verified: bool = False) -> JsonObject:
    """Train, evaluate and export in `workspace.path`; returns the counts for artifact.json. `verified` says that the
    mixture's checksums have been compared; else rank 0 does that before there are process groups.

    Takes up the newest checkpoint found there, and ends with the same weights, bit for bit, as an undisturbed run on
    the same machine with the same number of threads and ranks. Raises UserError or JobError.
    """
    if not (workspace.path / SUMMARY).exists():
        check_installed(spec.logs)
        keep_freed_memory()
        check = None if verified else partial(open_inputs, spec)
        groups = process_groups(spec.parallel, spec.seed, timeout=spec.collective_timeout, first=check)
        with groups, repeatable(spec.deterministic):
            Run(spec, open_inputs(spec, verify=False), workspace).complete()
    if not is_leader():  # the leader may have renamed the folder by now
        return {}
    summary = TrainSummary.read(workspace.path)
    # only now: a kill before this point finds the summary and does nothing again
    Checkpoints(workspace.path / CHECKPOINTS, spec.keep_every).drop_unkept(summary.steps)
    shutil.rmtree(workspace.path / INDICES, ignore_errors=True)
    return summary.counts


@dataclass(frozen=True)
class TakenStep:
    """The `step`-th step of the run, whose gradient's norm may not be known yet; `offenders` names its documents."""

    step: int
    sums: Sums
    norm: Late
    offenders: Callable[[], list[str]]


class Run:
    """One run in progress on this rank."""

    def __init__(self, spec: PretrainSpec, inputs: Inputs, workspace: Workspace) -> None:
        self.spec = spec
        self.inputs = inputs
        self.workspace = workspace
        self.schedule = inputs.schedule(spec)
        self.steps = inputs.steps(spec)
        policy = LossPolicy.from_spec(spec.loss, inputs.components, self.steps)
        weights = first_weights(spec, inputs.architecture)
        self.trainer = Trainer(spec, inputs.architecture, policy, weights, inputs.replacement, self.steps)
        self.record = Record(spec, inputs, workspace, self.trainer.levels)
        self.checkpoints = Checkpoints(workspace.path / CHECKPOINTS, spec.keep_every)
        self.settings = DataSettings(
            sequence_length=inputs.mixture.sequence_length,
            vocab_size=inputs.mixture.facts.vocab_size,
            end_of_document=inputs.mixture.facts.eos_id,
            cache=workspace.path / INDICES / inputs.mixture.content_sha256[:12],
            packing=inputs.mixture.packing,
        )
        self._current: tuple[Epoch, Batches] | None = None
        self._taken: TakenStep | None = None
        self._norm = math.nan
        self._flags: Late | None = None
        if spec.half and not has_fast_bf16():
            workspace.note(f"precision: {spec.precision} is emulated on this CPU and much slower than fp32")

    @property
    def progress(self) -> Progress:
        """How far the run is."""
        return self.record.progress

    def complete(self) -> None:
        """Train to the end, then evaluate and export. Collective."""
        if is_first():
            remove_temporaries(self.workspace.path / INDICES)
        self._resume()
        with contextlib.closing(self.record), contextlib.closing(self.checkpoints), contextlib.ExitStack() as ends:
            ends.callback(self._end_reading)
            with self.workspace.progress("pretrain", self.steps, "steps") as advance, Preemption() as preemption:
                advance(self.progress.step)
                self._train(advance, preemption)
            self.checkpoints.finish()
            self._finish()

    def _resume(self) -> None:
        state = self.checkpoints.restore(self._state, self.workspace.note)
        if state is None:
            restore_start(self.trainer, self.spec)
        else:
            self.trainer.load_state(state)
            self.record.progress = Progress(**state["progress"])
        self.record.open()

    def _state(self, loading: bool) -> ShardedState:
        state = self.trainer.state(loading)
        return state if loading else {**state, "progress": asdict(self.progress)}

    def _train(self, advance: Advance, preemption: Preemption) -> None:
        interval = LogInterval(self.trainer.no_sums)
        with profiled(self.spec.profile, self.workspace.path / PROFILE) as traced:
            while self.progress.step < self.steps:
                rate = self.trainer.learning_rate
                self._step(interval)
                traced()
                with interval.checkpointing():
                    leaves = self._should_leave(preemption)
                # Before it is saved: a checkpoint holds what the run adds up to, and its last line.
                if leaves or self._reports():
                    norm = self._settle(interval)
                    self.record.report(interval, rate, norm, self._evaluation())
                    interval = LogInterval(self.trainer.no_sums)
                if leaves or self._saves():
                    with interval.checkpointing():
                        self.checkpoints.save(self.progress.step, self._state(False))
                advance(1)
                if leaves:
                    self.checkpoints.finish()
                    saved = f"step {self.progress.step} of {self.steps}"
                    raise Preempted(f"asked to leave: saved after {saved}; run it again and it goes on")

    def _should_leave(self, preemption: Preemption) -> bool:
        """Whether to leave, which all ranks learn alike; a checkpoint that has been written is finished on the way.

        On GPUs the ranks' answers of the step before are read, as this step's would wait for its work.
        """
        flags = any_rank(preemption.noted, self.checkpoints.writing)
        self._flags, answers = flags, self._flags if flags.is_late else flags
        if answers is None:  # the first step on a GPU
            return False
        asked, writing = map(bool, answers.read())
        if self.checkpoints.pending and not writing:
            self.checkpoints.finish()
        return asked and self.progress.step < self.steps

    def _step(self, interval: LogInterval) -> None:
        """One step. A GPU is given it before the step before is looked at, so that it need not wait."""
        taken = self.progress.step
        epoch, step = epoch_at(self.schedule, taken)
        if self._current is None or self._current[0] != epoch:
            self._end_reading()
            self._current = epoch, self._batches(epoch)
        batches = self._current[1]
        sums, norm = self.trainer.step(batches, step, taken)
        self._settle(interval)
        self.progress.step = taken + 1
        self._taken = TakenStep(taken + 1, sums, Late(norm), partial(self._offenders, batches, step, taken))
        if not self._taken.norm.is_late:
            self._settle(interval)

    def _settle(self, interval: LogInterval) -> float:
        """Count the step that was taken last, unless it is counted; returns the norm of its gradient."""
        taken, self._taken = self._taken, None
        if taken is not None:
            (self._norm,) = taken.norm.read()
            if math.isfinite(self._norm):
                interval.add(taken.sums)
            else:
                interval.skip()
                self._skip(taken)
        return self._norm

    def _batches(self, epoch: Epoch) -> Batches:
        token_files = token_files_of(self.inputs.mixture, epoch.cooldown)
        dataset = build_epoch(token_files, self.settings, epoch.order_seed(self.spec.seed))
        batches = Batches(dataset, self.spec.global_batch_size, self.spec.micro_batch_size, *data_parallel())
        return read_ahead(batches, self.trainer.device)

    def _end_reading(self) -> None:
        if self._current is not None:
            self._current[1].close()
        self._current = None

    def _offenders(self, batches: Batches, step: int, taken: int) -> list[str]:
        with contextlib.closing(batches):
            return offenders(self.trainer, batches, step, taken, self.inputs.mixture)

    def _skip(self, taken: TakenStep) -> None:
        """Count a step whose gradient was not finite; past the limit, stop and name the documents it was made of."""
        self.progress.skipped += 1
        message = f"the gradient is not finite at step {taken.step} of {self.steps}"
        if self.progress.skipped <= self.spec.max_skipped:
            if is_first():
                self.workspace.note(f"{message}: the step was skipped")
            return
        raise JobError(
            f"{message}; lower optimizer.lr or raise optimizer.warmup, or look at these ({self.progress.skipped} steps "
            f"were skipped, max_skipped is {self.spec.max_skipped}; the log up to here is {self.record.log.path}):\n  "
            + "\n  ".join(taken.offenders())
        )

    def _reports(self) -> bool:
        """Whether this step ends an interval; a checkpoint does too, so that nothing is measured over a kill."""
        every = (self.spec.log_every, self.spec.checkpoint_every, self.spec.evaluate_every)
        return self.progress.step == self.steps or any(self.progress.step % steps == 0 for steps in every if steps)

    def _evaluation(self) -> dict[str, HeldOutCrossEntropy] | None:
        """Cross-entropies on held-out documents where it is time for them; after the last step `_finish` does it."""
        every, step = self.spec.evaluate_every, self.progress.step
        if every is None or step % every or step == self.steps:
            return None
        return held_out_cross_entropy(self.trainer, self.inputs.mixture, self.spec, self.settings)

    def _saves(self) -> bool:
        """The last step is only saved to be kept: what comes after it is quickly done again."""
        if self.progress.step == self.steps:
            return self.spec.keep_every is not None
        return self.progress.step % self.spec.checkpoint_every == 0

    def _finish(self) -> None:
        """Evaluate, export, and write the summary last: it says that all the rest is there."""
        held_out = held_out_cross_entropy(self.trainer, self.inputs.mixture, self.spec, self.settings, unigram=True)
        weights = gather(self.trainer.model, self.inputs.architecture, self.spec.collective_timeout)
        if is_first():
            self._write(weights, self.record.summary(held_out))
        else:
            collections.deque(weights, maxlen=0)  # nothing comes, but this rank's own have to be sent
        dist.barrier()

    def _write(self, weights: Weights, summary: TrainSummary) -> None:
        mixture, folder = self.inputs.mixture, self.workspace.path / MODEL
        dtype = next(self.trainer.model.parameters()).dtype
        export(weights, dtype, self.inputs.architecture, mixture.tokenizer, mixture.facts.eos_id, folder)
        write_text(folder / CARD, model_card(self.spec, self.inputs, summary))
        write_json(self.workspace.path / SUMMARY, to_json(summary))
