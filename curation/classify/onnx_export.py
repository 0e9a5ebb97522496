"""Classifiers as ONNX files, made once per model and kept in the download cache."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from curation.classify.number_formats import LAYERS
from curation.classify.scaled_rows import scale_rows
from infra.artifacts.artifact import version_of
from infra.artifacts.fingerprint import digest
from infra.atomic import atomic_path
from infra.errors import UnavailableError
from infra.files.digest_cache import cache_folder

_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def can_export() -> bool:
    """Whether the packages are there."""
    return all(version_of(name) for name in _PACKAGES)


def exported(model: Any, key: str, *, int8: bool) -> Path:
    """The ONNX file of `model`, whose weights `key` identifies and which is changed in place for int8.

    Raises UnavailableError without the packages.
    """
    if not can_export():
        needed = ", ".join(_PACKAGES)
        raise UnavailableError(
            f"precision onnx needs {needed}: pip install 'hormesis[onnx]', or say precision: float32"
        )
    versions = [version_of(name) for name in ("torch", "transformers", *_PACKAGES)]
    file = cache_folder() / "onnx" / f"{digest([key, int8, versions, LAYERS])}.onnx"
    if file.is_file():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder, atomic_path(file) as target, _in_silence():
        plain = Path(folder, "model.onnx")
        _export(scale_rows(model) if int8 else model, plain)
        if int8:
            _quantize(plain, target)
        else:
            plain.replace(target)
    return file


def _export(model: Any, target: Path) -> None:
    """Trace the model with both axes free; weights stay within the file."""

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    model.set_attn_implementation("eager")  # PyTorch's fused attention guards against NaN where none can be
    ids, mask = torch.full((2, 8), 5), torch.ones((2, 8), dtype=torch.int64)  # one tensor for both would tie them
    mask[1, 4:] = 0
    axes = {0: "rows", 1: "tokens"}
    program = torch.onnx.export(
        Logits().eval(), (ids, mask), dynamo=True, input_names=["input_ids", "attention_mask"],
        output_names=["logits"], dynamic_shapes=(axes, axes),
    )  # fmt: skip
    assert program is not None  # as torch annotates it; only without `dynamo` there is none
    program.save(str(target))


def _quantize(plain: Path, target: Path) -> None:
    """8-bit weights per output channel, in 7 bits: processors without VNNI overflow in sums of 8-bit products."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(str(plain))
    del graph.graph.value_info[:]  # the shapes that the exporter infers contradict those that the quantizer does
    onnx.save(graph, str(plain))
    quantize_dynamic(
        plain, target, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
        op_types_to_quantize=["MatMul", "Gemm"],  # embeddings in 8 bits cost much accuracy and gain no time
    )  # fmt: skip


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Exporter and quantizer talk a great deal."""
    root, level = logging.getLogger(), logging.getLogger().level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        root.setLevel(logging.ERROR)
        try:
            yield
        finally:
            root.setLevel(level)
