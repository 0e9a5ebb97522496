"""Inference-time intervention (Li et al. 2023, arXiv 2306.03341): push the heads that know the difference.

The head output is taken *before* the attention output projection, one slice per query head. The K heads whose
logistic probes validate best are moved along theta, the unit vector from the mean of toxic to the mean of benign
texts, by alpha * sigma, where sigma is the standard deviation of the labelled texts' projections onto theta.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from infra.errors import InputError
from posttrain.directions import Array, difference_of_means, discriminants, spread_along, unit
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.layers import moved
from posttrain.methods.base import EditedPositions, Method
from posttrain.methods.options import ItiArgs
from posttrain.model import CausalModel
from posttrain.probes import probe_heads

_PAPER_HEADS = 30  # Li et al. 2025 (arXiv 2505.04741)


class Iti(Method):
    """Adds alpha * sigma * theta to the chosen heads' outputs; the strength is alpha."""

    args = ItiArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        assert isinstance(fitted.args, ItiArgs)
        self.everywhere = fitted.args.positions == "all"

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: ItiArgs, seed: int) -> Fitted:
        """Probe every head, keep every head's direction and sigma, and choose the heads."""

        assert labelled is not None
        heads, benign = labelled.computed_by(model).heads, ~labelled.toxic
        probes = probe_heads(heads, benign, labelled.groups, args.folds, seed)
        theta, sigma = _directions(heads, benign, probes.coefficients, args, seed)
        chosen = best_heads(probes.accuracy, _number_of_heads(model, args))
        tensors = {"theta": theta, "sigma": sigma, "accuracy": probes.accuracy, "chosen": chosen}
        facts = FitFacts(
            head_accuracy=tuple(map(tuple, probes.accuracy.round(6).tolist())),
            chosen_heads=tuple((layer, head) for layer, head in np.argwhere(chosen).tolist()),
            texts=len(labelled.texts),
        )
        return Fitted.of(model, args, {name: torch.from_numpy(value) for name, value in tensors.items()}, facts)

    def offsets(self) -> torch.Tensor:
        """What is added to each output projection's input, [layers, heads * head_dim] float32."""
        tensors = self.fitted.tensors
        scale = self.strength * tensors["sigma"] * tensors["chosen"]
        return (scale[:, :, None] * tensors["theta"]).flatten(1)

    @contextlib.contextmanager
    def editing(self, positions: EditedPositions) -> Iterator[None]:
        """Hooks before each output projection of a layer with chosen heads."""
        with contextlib.ExitStack() as stack:
            for module, offset in zip(self.model.outputs, self.offsets(), strict=True):
                if offset.any():  # a hook costs a call into Python a layer and a step
                    added = offset.to(self.model.device, self.model.network.dtype)
                    stack.callback(module.register_forward_pre_hook(self._adding(added, positions)).remove)
            yield

    def _adding(
        self, offset: torch.Tensor, positions: EditedPositions
    ) -> Callable[[Any, tuple[torch.Tensor, ...]], Any]:
        def hook(_: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            return (moved(arguments[0], offset, self.everywhere or positions.everywhere), *arguments[1:])

        return hook


def _directions(heads: Array, benign: Array, coefficients: Array, args: ItiArgs, seed: int) -> tuple[Array, Array]:
    """Theta [layers, heads, head_dim] and sigma [layers, heads]; `heads` [layers, n, heads, head_dim], layer by layer.

    The random control moves as far as the real edit does, so its sigma is that of the mass-mean direction.
    """
    random = np.asarray(np.random.default_rng(seed).standard_normal(coefficients.shape))
    theta, sigma = np.empty(coefficients.shape), np.empty(coefficients.shape[:2])
    for layer, features in enumerate(heads):
        difference = difference_of_means(features, benign, args)
        if args.direction == "lda":
            theta[layer] = unit(discriminants(features, benign, difference))
        else:
            vectors = {"mass_mean": difference, "probe": coefficients[layer], "random": random[layer]}
            theta[layer] = unit(vectors[args.direction])
        sigma[layer] = spread_along(features, unit(difference) if args.direction == "random" else theta[layer])
    return theta, sigma


def bake(iti: Iti) -> None:
    """Store the edit as a bias of each output projection: bias += W_o · concat(alpha sigma theta), in place.

    The bias acts at every position, so this equals `positions: all`. (The released edit script leaves out W_o.)
    """
    with torch.no_grad():
        for module, offset in zip(iti.model.outputs, iti.offsets(), strict=True):
            added = offset.to(iti.model.device, iti.model.network.dtype)
            # The difference cancels a bias that is there already, and holds for Linear and GPT-2's Conv1D alike.
            shift = module(added) - module(torch.zeros_like(added))
            old: Any = module.bias
            module.bias = torch.nn.Parameter(shift if old is None else old + shift)


def best_heads(accuracy: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """1.0 for the `count` most accurate heads, 0.0 for the rest; equals by layer, then head."""
    chosen = np.zeros(accuracy.size)
    chosen[np.argsort(-accuracy.ravel(), kind="stable")[:count]] = 1
    return chosen.reshape(accuracy.shape)


def _number_of_heads(model: CausalModel, args: ItiArgs) -> int:
    total = model.layout.layers * model.layout.heads
    if args.top_heads is None:
        return min(_PAPER_HEADS, max(1, total // 2))
    if args.top_heads > total:
        raise InputError(f"top_heads is {args.top_heads}, and the model has {total} heads")
    return args.top_heads
