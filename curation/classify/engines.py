"""Engines: token ids in, logits out, in the number format that was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Precision = Literal["float32", "bfloat16", "int8"]
Device = Literal["cpu", "cuda"]


class Engine(Protocol):
    """Computes a classifier's logits."""

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [rows, classes] of padded token ids [rows, tokens]; `mask` is 1 where a token is text."""


class TorchEngine:
    """The model itself, in one of torch's number formats."""

    def __init__(self, model: Any, precision: Precision, device: Device) -> None:
        import torch

        if precision == "int8":
            model = _with_int8_layers(model)
        self._model = model.to(device=device, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """See Engine."""
        import torch

        with torch.inference_mode():
            device = next(self._model.parameters()).device
            asked = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            found = self._model(**{name: value.to(device) for name, value in asked.items()}).logits
            return found.float().cpu().numpy()


def _with_int8_layers(model: Any) -> Any:
    """Linear layers with 8-bit weights; their inputs are rounded to 8 bits with one scale for the whole batch."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that this has moved to torchao, which is no faster on a CPU
        return torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)
