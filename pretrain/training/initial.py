"""What a run begins with: random weights, those of a Hugging Face folder, or a checkpoint of another run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from megatron.core import dist_checkpointing

from pretrain.huggingface.folder import import_weights
from pretrain.huggingface.location import weights_folder
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import OlmoModel
from pretrain.model.weights import initialise
from pretrain.spec import PretrainSpec
from pretrain.start.origin import checkpoint_folder
from pretrain.training.checkpoint import check_whole, load_state
from pretrain.training.trainer import Trainer

Fill: TypeAlias = Callable[[OlmoModel], None]
"""Gives a new model its weights. Collective."""


def first_weights(spec: PretrainSpec, architecture: Architecture) -> Fill:
    """How the model of a new run gets its weights."""
    start = spec.start_from
    if start is None:
        return partial(initialise, architecture=architecture, seed=spec.seed)
    if start.needs_checkpoint:
        return partial(load_checkpoint, folder=checkpoint_folder(start.model, start.step))
    return partial(import_weights, architecture=architecture, folder=Path(weights_folder(start.model)))


def load_checkpoint(model: OlmoModel, folder: Path) -> None:
    """Fill a model, however it is divided, from a checkpoint. Collective; raises ArtifactError for a damaged one."""
    check_whole(folder)
    loaded = dist_checkpointing.load({"model": model.sharded_state_dict()}, str(folder))
    model.load_state_dict(loaded["model"])


def restore_start(trainer: Trainer, spec: PretrainSpec) -> None:
    """Continue the moments and the learning rate of the run that `start_from` names, as it says. Collective."""
    start = spec.start_from
    if start is None or not start.needs_checkpoint:
        return
    folder = str(checkpoint_folder(start.model, start.step))
    if start.optimizer == "continue":
        trainer.continue_moments(load_state(trainer.state(True), folder)["optimizer"])
    if start.learning_rate == "continue":
        trainer.continue_schedule(dist_checkpointing.load_common_state_dict(folder)["scheduler"])
