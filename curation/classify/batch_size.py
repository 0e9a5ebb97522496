"""How many tokens a GPU is given at once: more, as long as that is faster and the memory holds them.

On a CPU 2,048 tokens stay in the caches, and nothing is measured. A GPU with so few waits for its kernels to be
launched: an H100 scores sixteen thousand tokens a second that way, and four hundred thousand with 131,072.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curation.classify.devices import gpu_name, torch_device
from curation.classify.engines import TorchEngine, make_engine
from curation.classify.number_formats import LAYERS
from curation.scorers.options import Precision
from infra.artifacts.artifact import version_of
from infra.artifacts.fingerprint import digest
from infra.atomic import write_json
from infra.files.digest_cache import cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

ON_CPU = 2048
SIZES = tuple(ON_CPU << doublings for doublings in range(8))
"""Tokens of a batch that are tried, 2,048 to 262,144."""
_GAIN = 1.03  # what a doubling must bring
_NEAR = 0.95  # of the highest speed: the smallest batch that reaches it is taken
_SHARE = 0.5  # of the GPU's memory: there may be another worker
_USUAL, _LONGEST = 48, 512  # tokens of a window


def choose_batch(make_model: Callable[[], Any], key: str, precision: Precision) -> int:
    """Tokens of a batch for the model with weights `key` on this process's GPU; measured when it has not been yet."""
    versions = [version_of(name) for name in ("torch", "transformers")]
    file = cache_folder() / "batch" / f"{digest([key, precision, gpu_name(), versions, LAYERS])}.json"
    if not file.is_file():
        write_json(file, _measured(make_model, key, precision))
    return int(json.loads(file.read_text(encoding="utf-8"))["batch_tokens"])


def fastest_batch(fits: Callable[[int], bool], speed: Callable[[int], float]) -> tuple[int, dict[int, float]]:
    """The smallest of SIZES that is nearly as fast as the fastest, and the speeds (tokens a second) of those tried."""
    speeds: dict[int, float] = {}
    for size in SIZES:
        if speeds and not fits(size):
            break
        before, speeds[size] = max(speeds.values(), default=0.0), speed(size)
        if speeds[size] < _GAIN * before:
            break
    top = max(speeds.values())
    return min(size for size, reached in speeds.items() if reached >= _NEAR * top), speeds


def _measured(make_model: Callable[[], Any], key: str, precision: Precision) -> dict[str, Any]:
    model = make_model().eval()
    longest = min(_LONGEST, int(getattr(model.config, "max_position_embeddings", _LONGEST)) - 2)
    vocabulary = int(model.config.vocab_size)
    engine = make_engine(model, key, precision, "cuda", 1)
    if not isinstance(engine, TorchEngine):
        return {"batch_tokens": ON_CPU, "speeds": {}}
    size, speeds = fastest_batch(
        lambda tokens: _fits(engine, _drawn(tokens, longest, vocabulary)),
        lambda tokens: _speed(engine, _drawn(tokens, min(_USUAL, longest), vocabulary)),
    )
    torch.cuda.empty_cache()
    return {"batch_tokens": size, "speeds": speeds}


def _drawn(tokens: int, window: int, vocabulary: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Random windows and their mask, one of them shorter, as in nearly every batch."""
    ids = np.random.default_rng(0).integers(min(5, vocabulary - 1), vocabulary, (max(2, tokens // window), window))
    mask = np.ones_like(ids)
    mask[0, -1] = 0
    return ids, mask


def _fits(engine: TorchEngine, batch: tuple[NDArray[np.int64], NDArray[np.int64]]) -> bool:
    """Whether the batch of longest windows leaves enough of the memory free."""
    device = torch_device("cuda")
    torch.cuda.reset_peak_memory_stats(device)
    try:
        engine.launch(*batch)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return False
    return torch.cuda.max_memory_allocated(device) < _SHARE * torch.cuda.get_device_properties(device).total_memory


def _speed(engine: TorchEngine, batch: tuple[NDArray[np.int64], NDArray[np.int64]]) -> float:
    """Tokens a second, of the faster of two rounds behind one that warms up."""
    best = 0.0
    for warm in (False, True, True):
        start = time.perf_counter()
        engine.launch(*batch)
        torch.cuda.synchronize(torch_device("cuda"))
        best = max(best, warm * batch[0].size / (time.perf_counter() - start))
    return best
