"""`hormesis export RUN --to hf`: the finished model, or one of the checkpoints that the run kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from infra.artifacts.artifact import Artifact
from infra.atomic import write_text
from pretrain.files import CARD, CONFIG, MODEL
from pretrain.huggingface.config import read_architecture
from pretrain.huggingface.folder import WEIGHTS, save_model
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import build_model, transformer_config
from pretrain.model.weights import gather
from pretrain.runtime.device import current_device
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec
from pretrain.start.origin import checkpoint_folder
from pretrain.training.initial import load_checkpoint

_EARLIER = "**This is the checkpoint after step {step}. The figures below are of the finished run.**\n\n"


def to_hugging_face(artifact: Artifact, folder: Path, step: int | None) -> None:
    """Write the model of a run into an empty folder. Raises InputError when the checkpoint was not kept."""
    finished = artifact.path / MODEL
    if step is None:
        shutil.copytree(finished, folder, dirs_exist_ok=True)
        return
    checkpoint = checkpoint_folder(str(artifact.path), step)
    shutil.copytree(finished, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(WEIGHTS))
    architecture = read_architecture(finished)
    end_of_document = json.loads((finished / CONFIG).read_text(encoding="utf-8"))["eos_token_id"]
    _save(checkpoint, architecture, artifact.config["precision"], end_of_document, folder)
    text = (finished / CARD).read_text(encoding="utf-8")
    write_text(folder / CARD, text.replace("\n# ", f"\n{_EARLIER.format(step=step)}# ", 1))


def _save(checkpoint: Path, architecture: Architecture, precision: str, end_of_document: int, folder: Path) -> None:
    """The weights of a checkpoint, however the run was divided."""
    dtype = torch.bfloat16 if precision != "fp32" else torch.float32
    with process_groups(ParallelSpec(), seed=0):
        model = build_model(architecture, transformer_config(architecture, ParallelSpec(), dtype)).to(current_device())
        load_checkpoint(model, checkpoint)
        save_model(gather(model, architecture), dtype, architecture, end_of_document, folder)
