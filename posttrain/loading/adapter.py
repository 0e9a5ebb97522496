"""PEFT adapters (LoRA and the like): merged into the weights of their model, so that nothing above knows of them."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from infra.errors import InputError, UnavailableError

_WEIGHTS = "adapter_model.safetensors"


@contextmanager
def without_adapter(folder: Path) -> Iterator[str]:
    """The folder without its adapter files, for as long as the context is open.

    `from_pretrained` applies an adapter that it finds, unmerged and without saying which of its weights were missing,
    where peft is installed; and ignores it where it is not.
    """
    with TemporaryDirectory() as view:
        for file in folder.iterdir():
            if not file.name.startswith("adapter_"):
                (Path(view) / file.name).symlink_to(file.resolve())
        yield view


def check_adapter(folder: Path) -> None:
    """Raise UnavailableError without peft, InputError where there are no weights: before the model is loaded."""
    if importlib.util.find_spec("peft") is None:
        raise UnavailableError(
            f"{folder}: a PEFT adapter is merged by peft, which is not installed: pip install 'hormesis[tune]'"
        )
    if not (folder / _WEIGHTS).is_file():
        raise InputError(f"{folder}: an adapter without {_WEIGHTS}")


def merge(network: Any, folder: Path) -> Any:
    """The network with the adapter in `folder` merged into its weights.

    Raises InputError for an adapter that lacks weights, has others, does not fit the model, or is of a kind that no
    weights can hold (prompt tuning).
    """
    from peft import PeftConfig, get_peft_model, set_peft_model_state_dict

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of names in transformers that it uses itself
            wrapped = get_peft_model(network, PeftConfig.from_pretrained(str(folder)))
            report = set_peft_model_state_dict(wrapped, load_file(folder / _WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"{folder}: the adapter cannot be put on its model: {first}") from None
    if wrapped.active_peft_config.is_prompt_learning:
        raise InputError(f"{folder}: an adapter of virtual tokens cannot be merged into weights")
    own = {name for name, _ in wrapped.named_parameters() if wrapped.prefix in name}
    if missing := sorted(own.intersection(report.missing_keys)):
        raise InputError(f"{folder}: {_WEIGHTS} lacks {missing[0]} ({len(missing)} of {len(own)} weights)")
    if report.unexpected_keys:
        raise InputError(f"{folder}: {_WEIGHTS} holds {report.unexpected_keys[0]}, which fits nothing in the model")
    return wrapped.merge_and_unload()
