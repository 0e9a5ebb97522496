"""Contrastive activation addition (Rimsky et al. 2023, arXiv 2312.06681): move the residual stream after a layer.

The stream is moved along theta, the unit vector from the mean of toxic to the mean of benign texts at their last token,
by alpha * sigma, where sigma is the standard deviation of the labelled texts' projections onto theta. The scale is
ours, so that alpha means the same in every layer and as in ITI; the paper adds a multiple of the difference itself, and
sweeps over the layers where we take the one whose logistic probe validates best.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from infra.errors import InputError
from posttrain.causal_model import CausalModel
from posttrain.directions import Array, difference_of_means, spread_along, unit
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.layers import decoder_layers, moved, stream_of, with_stream
from posttrain.methods.base import EditedPositions, Method
from posttrain.methods.options import CaaArgs
from posttrain.probes import probe_heads


class Caa(Method):
    """Adds alpha * sigma * theta to the residual stream after the chosen layers; the strength is alpha."""

    args = CaaArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        assert isinstance(fitted.args, CaaArgs)
        self.everywhere = fitted.args.positions == "all"

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: CaaArgs, seed: int) -> Fitted:
        """Probe every layer's stream, keep every layer's direction and sigma, and choose the layers."""
        assert labelled is not None
        residual, benign = labelled.computed_by(model).residual, ~labelled.toxic
        accuracy = probe_heads(residual[:, :, None], benign, labelled.groups, args.folds, seed).accuracy[:, 0]
        theta, sigma = _directions(residual, benign, args, seed)
        chosen = _chosen(accuracy, args)
        tensors = {"theta": theta, "sigma": sigma, "accuracy": accuracy, "chosen": chosen}
        facts = FitFacts(
            layer_accuracy=tuple(accuracy.round(6).tolist()),
            chosen_layers=tuple(np.flatnonzero(chosen).tolist()),
            texts=len(labelled.texts),
        )
        return Fitted.of(model, args, {name: torch.from_numpy(value) for name, value in tensors.items()}, facts)

    def offsets(self) -> torch.Tensor:
        """What is added to the residual stream after each layer, [layers, hidden] float32."""
        tensors = self.fitted.tensors
        return (self.strength * tensors["sigma"] * tensors["chosen"])[:, None] * tensors["theta"]

    @contextlib.contextmanager
    def editing(self, positions: EditedPositions) -> Iterator[None]:
        """Hooks after the chosen layers."""
        with contextlib.ExitStack() as stack:
            for layer, offset in zip(decoder_layers(self.model), self.offsets(), strict=True):
                if offset.any():  # a hook costs a call into Python a layer and a step
                    added = offset.to(self.model.device, self.model.network.dtype)
                    stack.callback(layer.register_forward_hook(self._adding(added, positions)).remove)
            yield

    def _adding(self, offset: torch.Tensor, positions: EditedPositions) -> Callable[[Any, Any, Any], Any]:
        def hook(_: Any, _arguments: Any, output: Any) -> Any:
            stream = moved(stream_of(output), offset, self.everywhere or positions.everywhere)
            return with_stream(output, stream)

        return hook


def _directions(residual: Array, benign: Array, args: CaaArgs, seed: int) -> tuple[Array, Array]:
    """Theta [layers, hidden] and sigma [layers]; `residual` [layers, n, hidden], read layer by layer.

    The random control moves as far as the real edit does, so its sigma is that of the mass-mean direction.
    """
    means = np.stack([unit(difference_of_means(layer, benign, args)) for layer in residual])
    sigma = np.stack([spread_along(layer, theta) for layer, theta in zip(residual, means, strict=True)])
    random = unit(np.random.default_rng(seed).standard_normal(means.shape))
    return random if args.direction == "random" else means, sigma


def _chosen(accuracy: Array, args: CaaArgs) -> Array:
    """1.0 for the layers that are edited: those asked for, or the most accurate one, the first of equals."""
    layers = [int(accuracy.argmax())] if args.layers is None else list(args.layers)
    if (last := max(layers)) >= len(accuracy):
        raise InputError(f"layers: {last} is asked, and the model's layers are 0 to {len(accuracy) - 1}")
    chosen = np.zeros(len(accuracy))
    chosen[layers] = 1
    return chosen
