"""Which number format a classifier is fastest in on this machine: measured once, then remembered.

The choice is made once for a run, by the machine that scores, and travels in the resolved configuration: workers, other
nodes and a resumed run compute in the same format, or their bytes would differ.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from curation.classify.devices import gpu_name
from curation.classify.engines import Engine, make_engine
from curation.classify.number_formats import LAYERS, TOLERANCE
from curation.classify.onnx_export import can_export
from curation.classify.windows import padded
from curation.scorers.options import Device, Precision
from infra.artifacts.artifact import version_of
from infra.artifacts.fingerprint import digest
from infra.atomic import write_json
from infra.files.digest_cache import cache_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = tuple(
    f"{begin} {end}"
    for begin in ("I think", "You people", "Nobody told me that", "My neighbour says: shut up,", "Well done!",
                  "What an idiot,", "The committee reported on Tuesday that", "lol")
    for end in ("this is the best soup I ever had.", "you are stupid and ugly, go away!", "they lost again :(",
                "the river rises in the north and flows through two countries before it reaches the sea.",
                "women cannot drive.", "http://example.org/a?b=1 #fail", "it was not bad at all.")
)  # fmt: skip
"""Texts that scores are compared on: harmless ones, rude ones, and many between, where rounding shows most."""

_GAIN = 1.1  # what is worth leaving float32 for
_TOKENS = 128
_ROUNDS: dict[Device, tuple[int, ...]] = {"cpu": (2, 8, 8), "cuda": (8, 256, 256)}  # rows of each round
_HOPELESS = 0.3  # of float32's speed: not tried further (bfloat16 without matrix units is tens of times slower)


@dataclass(frozen=True)
class Measured:
    """A format's speed, in tokens a second of processor time, and its scores' largest distance from float32's on SAMPLE
    (on two of its texts where the format is hopelessly slow).
    """

    tokens_per_second: float
    deviation: float


@dataclass(frozen=True)
class ChosenPrecision:
    """The fastest format whose scores stay within its tolerance, and what the others did."""

    precision: Precision
    measured: dict[str, Measured]


def choose(
    make_model: Callable[[], Any], probabilities: Callable[[torch.Tensor], torch.Tensor], tokenizer: Any, key: str,
    threads: int, device: Device = "cpu",
) -> ChosenPrecision:  # fmt: skip
    """The choice for the model with weights `key` on this machine's processor, or on this process's GPU; measured when
    it has not been yet.
    """
    versions = [version_of(name) for name in ("torch", "transformers", "onnxruntime")]
    computer = _processor() if device == "cpu" else [gpu_name()]
    file = cache_folder() / "precision" / f"{digest([key, threads, computer, versions, LAYERS])}.json"
    if file.is_file():
        return _read(file)
    measured = _measure(make_model, probabilities, tokenizer, key, threads, device)
    choice = ChosenPrecision(fastest(measured), measured)
    write_json(file, asdict(choice))
    return choice


def fastest(measured: dict[str, Measured]) -> Precision:
    """The fastest format within its tolerance; float32 unless another gains a tenth."""
    sound = [name for name in TOLERANCE if name in measured and measured[name].deviation <= TOLERANCE[name]]
    plain = measured["float32"].tokens_per_second
    best: Precision = max(sound, key=lambda name: measured[name].tokens_per_second)
    return best if measured[best].tokens_per_second > _GAIN * plain else "float32"


def _measure(
    make_model: Callable[[], Any], probabilities: Callable[[torch.Tensor], torch.Tensor], tokenizer: Any, key: str,
    threads: int, device: Device,
) -> dict[str, Measured]:  # fmt: skip
    if device == "cpu":
        torch.set_num_threads(threads)
    model = make_model().eval()
    tokens = min(_TOKENS, getattr(model.config, "max_position_embeddings", _TOKENS) - 2)
    ids = np.random.default_rng(0).integers(5, model.config.vocab_size, (_ROUNDS[device][-1], tokens))
    windows = tokenizer(list(SAMPLE), truncation=True, max_length=tokens)["input_ids"]
    sample, mask = padded(windows, tokenizer.pad_token_id or 0)
    candidates: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
    if device == "cuda":
        candidates = ("float32", "bfloat16")
    elif can_export():
        candidates = (*candidates, "onnx-int8")
    measured: dict[str, Measured] = {}
    reference = None
    for precision in candidates:
        engine = make_engine(make_model().eval(), key, precision, device, threads)
        hopeless = _HOPELESS * measured["float32"].tokens_per_second if measured else 0.0
        speed = _speed(engine, ids, hopeless, device)
        rows = slice(None if speed >= hopeless else 2)
        scores = probabilities(torch.from_numpy(engine.logits(sample[rows], mask[rows]))).numpy()
        reference = scores if reference is None else reference
        measured[precision] = Measured(speed, float(np.abs(scores - reference[rows]).max()))
    return measured


def _speed(engine: Engine, ids: NDArray[np.int64], hopeless: float, device: Device) -> float:
    """Tokens a second of processor time: wall-clock time would measure what else the machine is doing. On a GPU,
    which the processor only waits for, it is all there is.
    """
    best, clock = 0.0, time.process_time if device == "cpu" else time.perf_counter
    for rows in _ROUNDS[device]:
        start = clock()
        engine.logits(ids[:rows], np.ones_like(ids[:rows]))
        best = max(best, ids[:rows].size / max(clock() - start, 1e-9))
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


def _read(file: Path) -> ChosenPrecision:
    record = json.loads(file.read_text(encoding="utf-8"))
    measured = {name: Measured(**figures) for name, figures in record["measured"].items()}
    return ChosenPrecision(record["precision"], measured)
