"""Whether the weights that were loaded are all those of the model, and numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from infra.errors import InputError

_NAMED = 3


def check_report(report: Any, location: str) -> None:
    """Raise InputError for weights that the files lack, have too many, or have in another shape.

    `report` is the loading information of `from_pretrained`. What transformers makes itself is not missed there: a
    tied head, and buffers such as rotary frequencies that older files still hold.
    """
    if mismatched := sorted(report["mismatched_keys"]):
        name, theirs, ours = mismatched[0]
        raise InputError(
            f"{location}: {name} is {list(theirs)} in the files, and {list(ours)} by the configuration"
            f"{_and_more(mismatched)}"
        )
    for fault, names in (("lack", report["missing_keys"]), ("hold, beside the model,", report["unexpected_keys"])):
        if names:
            raise InputError(f"{location}: the weight files {fault} {_listed(names)}")
    if report["error_msgs"]:
        raise InputError(f"{location}: the weights cannot be read: {report['error_msgs'][0]}")


def check_finite(network: Any, location: str) -> None:
    """Raise InputError naming parameters that are not all finite numbers."""
    names, finite = zip(*((name, tensor.isfinite().all()) for name, tensor in network.named_parameters()), strict=True)
    # One look at the device, not one a parameter
    if broken := [name for name, fine in zip(names, torch.stack(finite).tolist(), strict=True) if not fine]:
        raise InputError(f"{location}: not finite (NaN or infinity): {_listed(broken)}")


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)[:_NAMED]) + _and_more(names, _NAMED)


def _and_more(names: Collection[Any], told: int = 1) -> str:
    return f" and {len(names) - told} more" if len(names) > told else ""
