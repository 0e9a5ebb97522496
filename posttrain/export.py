"""`hormesis export STEER --to hf`: the steered model as a normal checkpoint that needs no hormesis to run.

The edit of ITI does not depend on what it is added to, so a bias of each attention output projection carries it. Many
architectures have such a bias behind the key `attention_bias` of their configuration, which then gives the query, key
and value projections one as well: zeros.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from infra.artifacts.artifact import Artifact
from infra.artifacts.lineage import neighbours
from infra.errors import ArtifactError, InputError, UnavailableError
from infra.render.progress import say
from posttrain.fitted import Fitted, load_fitted
from posttrain.methods.iti import Iti, bake
from posttrain.methods.options import ItiArgs
from posttrain.model import CausalModel, load_model
from posttrain.spec import BakedOptions
from pretrain.huggingface.location import weights_folder

_BIAS_KEY = "attention_bias"


def write_baked(artifact: Artifact, folder: Path, options: BakedOptions) -> None:
    """Write the model with the edit in its biases, and its tokenizer, for `AutoModelForCausalLM`.

    In the precision of the model's own checkpoint. Raises InputError for a method that is no ITI and for another model
    than it was fitted on, UnavailableError for an architecture that has no such bias, and ArtifactError where what was
    written does not give the logits it should.
    """
    fitted = load_fitted(artifact.path)
    if not isinstance(fitted.args, ItiArgs):
        raise InputError(f"{artifact.path}: only iti is an edit that a bias can carry, and this is {fitted.method}")
    location = options.model or _beside(artifact, fitted)
    model = load_model(location, "cpu")
    if model.fingerprint != fitted.model:
        raise InputError(f"{location}: is not the model that {artifact.path} was fitted on")
    if fitted.args.positions == "last":
        say("it was fitted with positions: last; a bias acts at all of them, on the prompt's too")
    bake(Iti(model, fitted, options.strength))
    complete_biases(model.network)
    _round(model.network, _stored_precision(location))
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    _check(model, folder)


def _beside(artifact: Artifact, fitted: Fitted) -> str:
    """The folder of the model's artifact, looked for where `lineage` looks."""
    if (source := neighbours(artifact.path).get(fitted.model)) is None:
        raise InputError(f"{artifact.path}: the model it was fitted on is not beside it; give it: --set model=FOLDER")
    return str(source.path)


def complete_biases(network: Any) -> None:
    """Give a network whose output projections have got a bias all that its configuration says it has then, zeros.

    Raises UnavailableError where its architecture has no such bias.
    """
    config = copy.deepcopy(network.config)
    if hasattr(config, _BIAS_KEY):
        setattr(config, _BIAS_KEY, True)
    with torch.device("meta"):
        holder = type(network)(config)
    present, expected = dict(network.named_parameters()), dict(holder.named_parameters())
    absent = expected.keys() - present.keys()
    if present.keys() - expected.keys() or not all(name.endswith(".bias") for name in absent):
        raise UnavailableError(
            f"{type(network).__name__}: its configuration cannot say that the attention output projection has a bias "
            f"({_BIAS_KEY}), so no checkpoint can carry the edit; steer it while it runs"
        )
    for name in absent:
        module, _, leaf = name.rpartition(".")
        zeros = torch.zeros(expected[name].shape, dtype=network.dtype, device=network.device)
        setattr(network.get_submodule(module), leaf, torch.nn.Parameter(zeros))
    network.config = config


def _stored_precision(location: str) -> torch.dtype:
    """Of the checkpoint; models are loaded in float32 on a CPU whatever it is."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(weights_folder(location))
    except (OSError, ValueError):  # an adapter has no configuration, and what it is merged into is in float32
        return torch.float32
    return getattr(config, "dtype", None) or torch.float32


def _round(network: Any, precision: torch.dtype) -> None:
    """Parameters alone: rotary frequencies stay in float32 in a checkpoint of any precision."""
    for parameter in network.parameters():
        parameter.data = parameter.data.to(precision)


@torch.inference_mode()
def _check(model: CausalModel, folder: Path) -> None:
    """Raise ArtifactError unless what is in `folder` loads as the network that was written, both run in float32."""
    from transformers import AutoModelForCausalLM

    _round(model.network, torch.float32)
    written = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    ids = torch.arange(min(8, model.network.config.vocab_size))[None]
    if not torch.allclose(written(input_ids=ids).logits, model.network(input_ids=ids).logits, atol=1e-4, rtol=1e-3):
        name = type(model.network).__name__
        raise ArtifactError(f"{name}: the checkpoint does not load as what was written; nothing is kept")
