"""Further models that a method runs beside the steered one: loaded once a process, and always those that it was fitted
with.
"""

from __future__ import annotations

from functools import lru_cache

from infra.errors import InputError
from posttrain.fitted import Fitted
from posttrain.methods.options import MethodArgs
from posttrain.model import CausalModel, load_model
from pretrain.huggingface.location import fingerprint

_LOADED = 8  # models that stay in memory


def fingerprints(args: MethodArgs) -> dict[str, str] | None:
    """Of the models that the arguments name, by key; None where they name none."""
    return {key: fingerprint(location) for key in args.models if (location := getattr(args, key))} or None


def companion(fitted: Fitted, key: str, model: CausalModel) -> CausalModel | None:
    """The model that the argument `key` names, on the device of `model`; None where it names none.

    Raises InputError where another model is there now, and where its vocabulary is not that of `model`.
    """
    location = getattr(fitted.args, key)
    if location is None:
        return None
    check_unchanged(fitted, key, location)
    other = _load(location, fingerprint(location), model.device.type)
    check_vocabulary(model, other, f"{fitted.method}: {key} {location}")
    return other


def check_unchanged(fitted: Fitted, key: str, location: str) -> None:
    """Raise InputError unless the model at `location` is the one that `fitted` was made with."""
    if fingerprint(location) != (fitted.facts.models or {}).get(key):
        raise InputError(f"{fitted.method}: {key} {location} is not the model of the fit any more; run the fit again")


def check_vocabulary(model: CausalModel, other: CausalModel, name: str) -> None:
    """Raise InputError unless every token of `model` is the same token of `other`."""
    theirs = other.tokenizer.get_vocab()
    if any(theirs.get(token) != number for token, number in model.tokenizer.get_vocab().items()):
        raise InputError(f"{name} has another vocabulary than the steered model: both must use one tokenizer")


def check_logits(model: CausalModel, other: CausalModel, name: str) -> None:
    """Raise InputError unless both give as many logits."""
    sizes = tuple(one.network.config.vocab_size for one in (model, other))
    if sizes[0] != sizes[1]:
        raise InputError(f"{name} gives {sizes[1]} logits and the steered model {sizes[0]}, so they cannot be added")


@lru_cache(maxsize=_LOADED)
def _load(location: str, identity: str, device: str) -> CausalModel:
    """`identity` is the fingerprint: a folder whose content has changed is another model."""
    return load_model(location, "cuda" if device == "cuda" else "cpu")
