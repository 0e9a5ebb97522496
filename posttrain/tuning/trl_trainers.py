"""TRL's trainers on examples that are token ids already, with our log, our checkpoints and nothing said to anybody.

Imported when a tuning runs: TRL, peft and accelerate come with the extra `tune`.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from infra.errors import JobError
from posttrain.tuning.base import Task
from posttrain.tuning.log import TuneLine, TuneLog
from posttrain.tuning.options import LoraSpec, TuningArgs
from posttrain.tuning.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKPOINTS = ".checkpoints"
_STATE = "trainer_state.json"
_OPTIMIZERS = {"adamw": "adamw_torch", "rmsprop": "rmsprop", "sgd": "sgd"}

Rows = Sequence[dict[str, Any]]


class _Plain:
    """What TRL's trainers do beside training, left out: telemetry, model cards, and tokenising what is token ids."""

    def _send_telemetry(self) -> None:
        pass

    def create_model_card(self, *_: Any, **__: Any) -> None:
        pass

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset


class TextTrainer(_Plain, SFTTrainer):
    """Cross-entropy of the labels of each row (`input_ids`, `labels`), over all labelled tokens of a step."""


class PairTrainer(_Plain, DPOTrainer):
    """DPO on rows (`prompt_ids`, `chosen_ids`, `rejected_ids`)."""

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """As TRL's, without its cache beside the data set and its bar. The model is still what it was: no copy of it is
        needed as a reference.
        """
        chosen: list[float] = []
        rejected: list[float] = []
        with torch.no_grad(), self.accelerator.autocast():  # in the precision in which the model will be trained
            for first in range(0, len(dataset), batch_size):
                rows = [dataset[index] for index in range(first, min(first + batch_size, len(dataset)))]
                batch = {key: value.to(self.accelerator.device) for key, value in self.data_collator(rows).items()}
                of_chosen, of_rejected = self.compute_ref_log_probs(self.model, batch)
                chosen += of_chosen.tolist()
                rejected += of_rejected.tolist()
        return dataset.add_column("ref_chosen_logps", chosen).add_column("ref_rejected_logps", rejected)


class _Following(TrainerCallback):
    """Progress, the log, and a look at the model after a step (`after`, which says whether to stop)."""

    def __init__(self, advance: Callable[[int], object], log: TuneLog, after: Callable[[int], bool] | None) -> None:
        self.advance, self.log, self.after = advance, log, after

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.log.cut_after(state.global_step)
        self.advance(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.advance(1)
        if self.after is not None:
            model.eval()
            control.should_training_stop |= self.after(state.global_step)
            model.train()
        # A checkpoint of the last step would be gone on from, by one step more than there are.
        control.should_save &= not control.should_training_stop

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        if logs is None or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise JobError(f"the loss is {logs['loss']} at step {state.global_step}; lower method.learning_rate")
        self.log.append(TuneLine.of(state.global_step, logs))


def train_texts(task: Task, args: TuningArgs, rows: Rows, after: Callable[[int], bool] | None = None) -> Any:
    """Fine-tune on rows (`input_ids`, `labels`); returns the network with its new weights, adapters merged.

    `after` is called after each step, with the model in evaluation mode; training ends where it says True.
    """
    config = _config(SFTConfig, **_settings(task, args), max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return _train(TextTrainer, task, args, config, rows, after)


def train_pairs(task: Task, args: TuningArgs, rows: Rows, beta: float) -> Any:
    """DPO on rows (`prompt_ids`, `chosen_ids`, `rejected_ids`); returns the network as `train_texts` does."""
    config = _config(DPOConfig, **_settings(task, args), max_length=None, beta=beta, precompute_ref_log_probs=True)
    return _train(PairTrainer, task, args, config, rows, None)


def _config(kind: Any, **settings: Any) -> Any:
    """A configuration of TRL, which warns of its own default for a key that transformers has renamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**settings)


def _settings(task: Task, args: TuningArgs) -> dict[str, Any]:
    on_gpu = task.model.device.type == "cuda"
    log_every = task.spec.log_every
    return {
        "output_dir": str(task.folder / CHECKPOINTS),
        "per_device_train_batch_size": args.micro_batch_size or args.batch_size,
        "gradient_accumulation_steps": args.accumulated,
        "learning_rate": args.learning_rate,
        "lr_scheduler_type": args.schedule if args.schedule != "constant" else "constant_with_warmup",
        "warmup_steps": args.warmup_steps,
        "optim": _OPTIMIZERS[args.optimizer],
        "weight_decay": args.weight_decay,
        "max_grad_norm": args.gradient_clip,
        "num_train_epochs": args.epochs,
        "max_steps": args.max_steps or -1,
        "seed": task.spec.seed,
        "data_seed": task.spec.seed,
        "bf16": on_gpu,
        "use_cpu": not on_gpu,
        "gradient_checkpointing": False,
        "logging_steps": log_every,
        # whole intervals of the log only: TRL forgets the losses since its last line when it goes on from a checkpoint
        "save_steps": -(-task.spec.checkpoint_every // log_every) * log_every,
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": on_gpu,
    }


@quiet()
def _train(kind: Any, task: Task, args: TuningArgs, config: Any, rows: Rows, after: Any) -> Any:
    network = task.model.network
    config._n_gpu = min(config.n_gpu, 1)  # or a machine with several would split every batch over them
    as_loaded = copy.deepcopy((network.config, network.generation_config))
    trainer = kind(
        model=network,
        args=config,
        train_dataset=Dataset.from_list(list(rows)),
        processing_class=copy.deepcopy(task.model.tokenizer),  # TRL gives it a padding token
        peft_config=_lora(args.lora) if args.lora else None,
    )
    trainer.remove_callback(PrinterCallback)
    checkpoint = last_checkpoint(task.folder / CHECKPOINTS)
    with _deterministic(), task.workspace.progress("tuning", args.steps_for(len(rows)), "steps") as advance:
        trainer.add_callback(_Following(advance, TuneLog(task.folder), after))
        trainer.train(resume_from_checkpoint=checkpoint)
    trained = trainer.model.merge_and_unload() if args.lora else trainer.model
    trained.config, trained.generation_config = as_loaded  # TRL has set a padding token, and the cache off
    shutil.rmtree(task.folder / CHECKPOINTS, ignore_errors=True)
    return trained.eval()


def _lora(spec: LoraSpec) -> LoraConfig:
    return LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint that is whole; those that a kill has cut short are removed. TRL writes its state last."""
    whole = []
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            step = int(json.loads((checkpoint / _STATE).read_text())["global_step"])
        except (OSError, ValueError, KeyError):
            shutil.rmtree(checkpoint)
            continue
        whole.append((step, str(checkpoint)))
    return max(whole)[1] if whole else None


@contextmanager
def _deterministic() -> Iterator[None]:
    """Only algorithms that give the same bits each time, where there is one; as before afterwards."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
