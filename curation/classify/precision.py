"""Which number format a classifier is fastest in on this machine: measured once, then remembered.

The choice is made where a run starts and travels in the resolved configuration: workers, other nodes and a resumed run
compute in the same format, or their bytes would differ.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.classify.engines import TOLERANCE, Engine, Precision, make_engine
from curation.classify.onnx_export import can_export
from curation.wheels import cache_folder
from infra.artifact import version_of
from infra.atomic import write_json
from infra.fingerprint import digest

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

_GAIN = 1.1  # what is worth leaving float32 for
_ROWS, _TOKENS = 8, 128
_ROUNDS = (2, _ROWS, _ROWS)  # rows of each round
_HOPELESS = 0.3  # of float32's speed: not tried further (bfloat16 without matrix units is tens of times slower)


@dataclass(frozen=True)
class Measured:
    """A format's speed, in tokens a second of processor time, and its largest distance from float32 in a score."""

    tokens_per_second: float
    deviation: float


@dataclass(frozen=True)
class Choice:
    """The fastest format whose scores stay within its tolerance, and what the others did."""

    precision: Precision
    measured: dict[str, Measured]


def choose(
    make_model: Callable[[], Any], probabilities: Callable[[torch.Tensor], torch.Tensor], key: str, threads: int
) -> Choice:
    """The choice for the model with weights `key` on this machine's processor; measured when it has not been yet."""
    versions = [version_of(name) for name in ("torch", "transformers", "onnxruntime")]
    file = cache_folder() / "precision" / f"{digest([key, threads, _processor(), versions])}.json"
    if file.is_file():
        return _read(file)
    measured = _measure(make_model, probabilities, key, threads)
    choice = Choice(fastest(measured), measured)
    write_json(file, asdict(choice))
    return choice


def fastest(measured: dict[str, Measured]) -> Precision:
    """The fastest format within its tolerance; float32 unless another gains a tenth."""
    sound = [name for name in TOLERANCE if name in measured and measured[name].deviation <= TOLERANCE[name]]
    plain = measured["float32"].tokens_per_second
    best: Precision = max(sound, key=lambda name: measured[name].tokens_per_second)
    return best if measured[best].tokens_per_second > _GAIN * plain else "float32"


def _measure(
    make_model: Callable[[], Any], probabilities: Callable[[torch.Tensor], torch.Tensor], key: str, threads: int
) -> dict[str, Measured]:
    import numpy as np
    import torch

    torch.set_num_threads(threads)
    model = make_model().eval()
    tokens = min(_TOKENS, getattr(model.config, "max_position_embeddings", _TOKENS) - 2)
    ids = np.random.default_rng(0).integers(5, model.config.vocab_size, (_ROWS, tokens))
    candidates: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
    if can_export():
        candidates = (*candidates, "onnx-int8")
    found: dict[str, Measured] = {}
    reference = None
    for precision in candidates:
        engine = make_engine(make_model().eval(), key, precision, "cpu", threads)
        scores = probabilities(torch.from_numpy(engine.logits(ids[:2], np.ones_like(ids[:2])))).numpy()
        reference = scores if reference is None else reference
        hopeless = _HOPELESS * found["float32"].tokens_per_second if found else 0.0
        found[precision] = Measured(_speed(engine, ids, hopeless), float(np.abs(scores - reference).max()))
    return found


def _speed(engine: Engine, ids: NDArray[np.int64], hopeless: float) -> float:
    """Tokens a second of processor time: wall-clock time would measure what else the machine is doing."""
    import numpy as np

    best = 0.0
    for rows in _ROUNDS:
        start = time.process_time()
        engine.logits(ids[:rows], np.ones_like(ids[:rows]))
        best = max(best, ids[:rows].size / max(time.process_time() - start, 1e-9))
        if best < hopeless:
            break
    return best


def _processor() -> list[str]:
    """What kind of processor this is: its model and what it can do."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return [platform.machine(), platform.processor()]
    lines = cpuinfo.read_text(errors="replace").splitlines()
    return sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})


def _read(file: Path) -> Choice:
    record = json.loads(file.read_text(encoding="utf-8"))
    return Choice(record["precision"], {name: Measured(**each) for name, each in record["measured"].items()})
