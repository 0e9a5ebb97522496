"""Engines: token ids in, logits out, in the number format that was chosen (`number_formats`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from curation.classify.devices import torch_device
from curation.classify.first_token import is_of_berts_kind, read_first_token_only
from curation.classify.onnx_export import exported
from curation.classify.scaled_rows import scale_rows
from curation.scorers.options import Device, Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Engine(Protocol):
    """Computes a classifier's logits."""

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [rows, classes] of padded token ids [rows, tokens]; `mask` is 1 where a token is text."""


def make_engine(model: Any, key: str, precision: Precision, device: Device, threads: int) -> Engine:
    """The engine of `model`, which is changed in place, in this precision; `key` names its weights in the cache of
    exported models.
    """
    model = read_first_token_only(model)
    if precision in ("onnx", "onnx-int8"):
        return OnnxEngine(exported(model, key, int8=precision == "onnx-int8"), device, threads)
    return TorchEngine(model, precision, torch_device(device))


class TorchEngine:
    """The model itself, in one of torch's number formats. `device` is any of torch's."""

    def __init__(self, model: Any, precision: Precision, device: str) -> None:
        if precision == "int8":
            model = _with_int8_layers(model)
        self.device, self._takes_ready_masks = device, is_of_berts_kind(model)
        self._model = model.to(device=device, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Engine."""
        inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        with torch.inference_mode():
            logits = self._model(**{name: value.to(self.device) for name, value in inputs.items()}).logits
            return logits.float().cpu().numpy()

    def launch(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> torch.Tensor:
        """The same logits, left on the device: this returns when the work is queued, not when it is done."""
        inputs = {"input_ids": self._sent(torch.from_numpy(ids))}
        if not self._takes_ready_masks:
            inputs["attention_mask"] = self._sent(torch.from_numpy(mask))
        elif not mask.all():  # of a mask [rows, tokens] transformers would ask the device the same, and wait for it
            inputs["attention_mask"] = self._sent(torch.from_numpy(mask).bool()[:, None, None, :])
        with torch.inference_mode():
            return self._model(**inputs).logits

    def _sent(self, tensor: torch.Tensor) -> torch.Tensor:
        """On the device; a copy from pinned memory is queued like a kernel."""
        pinned = tensor.pin_memory() if self.device.startswith("cuda") else tensor
        return pinned.to(self.device, non_blocking=True)


class OnnxEngine:
    """An exported model in ONNX Runtime."""

    def __init__(self, file: Path, device: Device, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors
        provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
        self._session = onnxruntime.InferenceSession(str(file), options, providers=[provider])

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Engine."""
        return self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


def _with_int8_layers(model: Any) -> Any:
    """The model with linear layers of 8-bit weights, one scale an output, and inputs scaled token by token."""
    model = scale_rows(model)
    layers = {torch.nn.Linear: torch.ao.quantization.per_channel_dynamic_qconfig}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that this has moved to torchao, which is no faster on a CPU
        return torch.ao.quantization.quantize_dynamic(model, layers, dtype=torch.qint8)
