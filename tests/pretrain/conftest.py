"""A small mixture and the specification of a run over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.token_mixtures import small_mixture, small_run


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums depend on the number of threads; processes that tests start inherit the setting too."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    """Two components of random words, one with nothing risky."""
    return small_mixture(tmp_path / "mixture")


@pytest.fixture
def settings(mixture: Path) -> Callable[..., Any]:
    """A PretrainSpec over the small mixture; keyword arguments replace its values."""
    return lambda **changes: small_run(**({"mixture": str(mixture)} | changes))
