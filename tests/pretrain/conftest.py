"""A small mixture and the specification of a run over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_mixture import random_documents, write_mixture


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums depend on the number of threads; processes that tests start inherit the setting too."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Two components of random words, one with nothing risky."""
    documents, _ = random_documents(40)
    clean = (documents, [[1] * len(document) for document in documents])
    held_out = random_documents(5, seed=2)
    return write_mixture(
        tmp_path / "mixture",
        {"clean": clean, "risky": random_documents(20, seed=1)},
        {"clean": held_out, "risky": held_out},
    )


@pytest.fixture
def settings(mixture: Path) -> Callable[..., Any]:
    """A PretrainSpec over the small mixture; keyword arguments replace its values."""
    from pretrain.spec import PretrainSpec

    def make(**changes: Any) -> PretrainSpec:
        base: dict[str, Any] = {
            "name": "test",
            "mixture": str(mixture),
            "model": {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4},
            "micro_batch_size": 2,
            "global_batch_size": 8,
            "log_every": 2,
            "checkpoint_every": 1000,
        }
        return PretrainSpec.model_validate(base | changes)

    return make
