"""Cross-entropy of an unsteered model is the held-out cross-entropy that its training reports, target by target.

Covers posttrain.cross_entropy, analysis.evaluations.held_out, pretrain.training.evaluate.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.evaluations.held_out import held_out_documents
from infra.stages.stage import run_stage
from posttrain.cross_entropy import DocumentCrossEntropy
from posttrain.model import load_model
from posttrain.steered import bind
from pretrain.stage import PRETRAIN
from tests.helpers.tagged_corpora import build, clean_documents, mixture_spec, risky_documents, write_curation
from tests.helpers.token_mixtures import small_run


def trained(folder: Path, **changes: Any) -> tuple[dict[str, dict[str, float]], dict[str, DocumentCrossEntropy]]:
    """By component, what training reports of the held-out documents, and what is measured on the same ones."""
    corpora = {"clean": clean_documents(160), "forum": risky_documents(80)}
    curation = write_curation(folder / "curation", corpora)
    mixture = build(mixture_spec(curation, **changes), folder / "mixture").path
    run = small_run(mixture=str(mixture), micro_batch_size=1, global_batch_size=2, optimizer={"lr": 1e-2})
    artifact = run_stage(PRETRAIN, run, folder / "model", quiet=True)
    steered = bind(load_model(str(artifact.path), "cpu"), None, 0)
    texts = {name: [text for _, text in held_out_documents(str(mixture), name)] for name in ("clean", "risky")}
    reported = json.loads((artifact.path / "pretrain.json").read_text())["held_out"]
    return reported, {name: steered.cross_entropy(documents) for name, documents in texts.items()}


def test_targets_and_nats_are_those_of_training(tmp_path: Path) -> None:
    """All held-out documents fit one sequence, so training cuts none, and none sees another."""
    reported, measured = trained(tmp_path, sequence_length=1024, packing={"reset_attention": True})
    for name, ours in measured.items():
        assert len(ours.tokens) > 3 and ours.tokens.sum() == reported[name]["tokens"]
        assert ours.per_token == pytest.approx(reported[name]["cross_entropy"], abs=1e-5)


def test_where_training_cuts_documents_the_targets_are_the_same_and_the_context_is_not(tmp_path: Path) -> None:
    """Training's sequences begin in the middle of documents; a document is read from its beginning here."""
    reported, measured = trained(tmp_path, sequence_length=32)
    for name, ours in measured.items():
        assert (ours.tokens > 32).any() and ours.tokens.sum() == reported[name]["tokens"]
        assert ours.per_token == pytest.approx(reported[name]["cross_entropy"], rel=0.1)
        assert not np.isclose(ours.per_token, reported[name]["cross_entropy"], atol=1e-5)
