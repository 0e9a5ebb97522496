"""A safetensors file written one weight at a time, in whatever order they come."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

_CODES = {torch.float32: "F32", torch.bfloat16: "BF16"}
_ALIGNMENT = 8

Shapes = Mapping[str, tuple[int, ...]]


def write_weights(path: Path, shapes: Shapes, dtype: torch.dtype, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Write the weights of `shapes`, (name, tensor on the CPU) pairs; the bytes are those of safetensors' `save_file`.

    That wants all of them at once; here one is in memory at a time.
    """
    header, starts = _header(shapes, dtype)
    missing = set(shapes)
    with open(path, "wb") as file:
        file.write(header)
        for name, weight in weights:
            missing.remove(name)
            assert (tuple(weight.shape), weight.dtype) == (shapes[name], dtype), name
            file.seek(starts[name])
            file.write(memoryview(weight.contiguous().view(torch.uint8).numpy()).cast("B"))
    assert not missing, f"no weight came for {sorted(missing)}"


def _header(shapes: Shapes, dtype: torch.dtype) -> tuple[bytes, dict[str, int]]:
    """The file up to its first weight, and where each weight begins (https://huggingface.co/docs/safetensors)."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    ends = 0
    starts: dict[str, int] = {}
    for name in sorted(shapes):
        starts[name], ends = ends, ends + math.prod(shapes[name]) * dtype.itemsize
        entries[name] = {"dtype": _CODES[dtype], "shape": shapes[name], "data_offsets": [starts[name], ends]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    begin = len(text).to_bytes(8, "little") + text
    return begin, {name: len(begin) + start for name, start in starts.items()}
