"""Names of the files and folders of a pretraining artifact."""

from __future__ import annotations

SUMMARY = "pretrain.json"
LOG = "log.jsonl"
MODEL = "hf"
CARD = "README.md"  # in MODEL
PROFILE = "profile"
CHECKPOINTS = "checkpoints"  # these two are gone from the finished artifact
INDICES = ".indices"
