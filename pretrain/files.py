"""Names of the files and folders of a pretraining artifact, and of the Hugging Face folder in it."""

from __future__ import annotations

from pathlib import Path

SUMMARY = "pretrain.json"
LOG = "log.jsonl"
MODEL = "hf"
CONFIG = "config.json"  # these three in MODEL
TOKENIZER = "tokenizer.json"
CARD = "README.md"
PROFILE = "profile"
CHECKPOINTS = "checkpoints"  # these two are gone from the finished artifact
INDICES = ".indices"

_STEP = "step-"


def checkpoint_folder_name(step: int) -> str:
    """Name, in CHECKPOINTS, of the checkpoint after `step` steps."""
    return f"{_STEP}{step:09d}"


def checkpoint_step(checkpoint: Path) -> int:
    """After how many steps a checkpoint was made, from the name of its folder."""
    return int(checkpoint.name.removeprefix(_STEP))


def checkpoints_in(folder: Path) -> list[Path]:
    """The finished checkpoints of a folder CHECKPOINTS, the earliest first; those being written are not among them."""
    return sorted(folder.glob(f"{_STEP}*"))
