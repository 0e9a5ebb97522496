"""A model that has learned polite and rude sentences, and pairs of them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infra.artifacts.artifact import Artifact
from infra.stages.stage import run_stage
from posttrain.activations import right_padded
from posttrain.model import load_model
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.stage import TUNE
from tests.helpers.causal_models import BENIGN, TOXIC, WORDS, save_model


def tune(folder: Path, model: Path, method: dict[str, Any], **changes: Any) -> Artifact:
    """Run a tuning into `folder`."""
    given = {"name": "x", "model": str(model), "method": method, "device": "cpu", "log_every": 2, "checkpoint_every": 4}
    return run_stage(TUNE, TuneSpec(**{**given, **changes}), folder, quiet=True)


@pytest.fixture(scope="session")
def learned_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two layers trained for a few seconds on as many rude as polite sentences."""
    folder = save_model(tmp_path_factory.mktemp("learned"), initializer_range=0.02)
    model = load_model(str(folder), "cpu")
    random = np.random.default_rng(0)
    texts = [f"{random.choice(WORDS)} {random.choice(TOXIC if index % 2 else BENIGN)}" for index in range(400)]
    ids, last = right_padded([[model.start, *tokens, model.end] for tokens in model.encode(texts)], model)
    labels = ids.masked_fill(torch.arange(ids.shape[1]) > last[:, None], -100)
    optimizer = torch.optim.AdamW(model.network.parameters(), lr=5e-3)
    order = torch.Generator().manual_seed(0)
    for _ in range(120):
        batch = torch.randperm(len(ids), generator=order)[:32]
        loss = model.network(input_ids=ids[batch], labels=labels[batch]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each polite sentence preferred to each rude one, after each of the words that such sentences follow."""
    file = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    lines = [
        {"prompt": word, "chosen": f" {mild}", "rejected": f" {rude}"}
        for word, mild, rude in itertools.product(WORDS, BENIGN, TOXIC[:3])
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file
