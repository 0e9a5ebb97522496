"""SASA, self-disciplined autoregressive sampling (Ko et al. 2025, arXiv 2410.03818).

Fitting finds the linear boundary between benign and toxic texts in the model's own final hidden states (Gaussians with
a pooled covariance, which is linear discriminant analysis). Decoding asks, for the most probable next tokens, on which
side of it the text would then be, and adds beta * softmax(margins) to their logits. Margins are divided by their spread
over the labelled texts (ours: hidden states have any scale, and where it is large the softmax puts all on one candidate
and steering writes that); `margins: released` takes them as they are. Several attributes have a boundary each, and what
they add is the weighted sum.

How candidates are looked at is told in `posttrain.decoding.candidates`, and what that costs in cross-entropy in
`posttrain.token_nats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.errors import InputError
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.options import SasaArgs
from posttrain.model import CausalModel
from posttrain.probes import assign_folds

_SMALLEST_EIGENVALUE = 1e-6  # of the pooled covariance; as in the reference implementation (IBM/AISteer360)


@dataclass(frozen=True)
class Subspace:
    """`normal` [hidden], unit length, points to the benign side; `centre` [hidden] lies on the boundary."""

    normal: np.ndarray[Any, Any]
    centre: np.ndarray[Any, Any]


def fit_subspace(hidden: np.ndarray[Any, Any], benign: np.ndarray[Any, Any]) -> Subspace:
    """Pooled covariance S = F D F', w = F D^-1 F' (mean_benign - mean_toxic)/2 scaled to unit length, centre between.

    `hidden` [n, hidden], `benign` [n] bool. Eigenvalues up to 1e-6 are dropped.
    """
    benign_NH, toxic_NH = hidden[benign].astype(np.float64), hidden[~benign].astype(np.float64)
    difference = (benign_NH.mean(0) - toxic_NH.mean(0)) / 2
    centred = (benign_NH - benign_NH.mean(0), toxic_NH - toxic_NH.mean(0))
    scatter_HH = sum(class_NH.T @ class_NH for class_NH in centred)
    values, vectors_HH = np.linalg.eigh(scatter_HH / (len(hidden) - 2))
    varies = values > _SMALLEST_EIGENVALUE
    basis_HE = vectors_HH[:, varies]
    normal = basis_HE @ ((basis_HE.T @ difference) / values[varies])
    return Subspace(normal / max(np.linalg.norm(normal), 1e-12), (benign_NH.mean(0) + toxic_NH.mean(0)) / 2)


class Sasa(Method):
    """Adds beta * softmax(margins over the candidates) to the candidates' logits; the strength is beta."""

    args = SasaArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        args, tensors = fitted.args, fitted.tensors
        assert isinstance(args, SasaArgs)
        if "spread" not in tensors:
            raise InputError("this sasa steering is of an older hormesis, which scaled no margins; fit it again")
        self.candidates, self.measured_positions = args.max_candidates, args.cross_entropy_positions
        self.candidate_mass = args.candidate_mass
        scale = tensors["spread"].double() if args.margins == "scaled" else torch.ones(len(tensors["spread"]))
        self.boundary = (tensors["normal"].double() * tensors["centre"].double()).sum(-1).to(model.device)
        self.normals, self.scale = tensors["normal"].to(model.device), scale.double().to(model.device)
        self.weights = torch.tensor([*args.attributes.values()] or [1.0], dtype=torch.float64, device=model.device)

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: SasaArgs, seed: int) -> Fitted:
        """Fit a boundary for each attribute on all its texts; accuracy and spread are of held-out documents."""
        assert labelled is not None
        texts = [labelled.attributes[name] for name in args.attributes] or [labelled]
        boundaries = [
            _boundary(labelled_by.computed_by(model).hidden, labelled_by, args.folds, seed) for labelled_by in texts
        ]
        stacked = {
            "normal": np.stack([boundary.subspace.normal for boundary in boundaries]),
            "centre": np.stack([boundary.subspace.centre for boundary in boundaries]),
            "spread": np.array([boundary.spread for boundary in boundaries]),
        }
        accuracy = [round(boundary.accuracy, 6) for boundary in boundaries]
        facts = FitFacts(
            boundary_accuracy=min(accuracy),
            attribute_accuracy=dict(zip(args.attributes, accuracy, strict=True)) if args.attributes else None,
            texts=sum(len(labelled_by.texts) for labelled_by in texts),
        )
        return Fitted.of(model, args, {name: torch.from_numpy(value) for name, value in stacked.items()}, facts)

    def margins(self, hidden: torch.Tensor) -> torch.Tensor:
        """Signed distances of hidden states [..., hidden size] to the boundaries, [..., attributes] float64: positive
        on the benign side, in standard deviations of the labelled texts, or in the units of the hidden states.
        """
        return ((hidden.float() @ self.normals.T).double() - self.boundary) / self.scale

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """beta times the weighted sum over attributes of the softmax of the margins over the candidates `inside`."""
        shares_BKA = self.margins(hidden).masked_fill(~inside[..., None], -float("inf")).softmax(-2)
        return self.strength * (shares_BKA @ self.weights)


@dataclass(frozen=True)
class _Boundary:
    """A subspace, its held-out `accuracy`, and the `spread` of held-out margins."""

    subspace: Subspace
    accuracy: float
    spread: float


def _boundary(hidden: np.ndarray[Any, Any], labelled: Labelled, folds: int, seed: int) -> _Boundary:
    """The boundary of all texts; accuracy and spread by cross-validation with documents kept whole.

    The spread is the standard deviation of margins within a class, of texts that the boundary was not fitted on: on its
    own texts a boundary in a space of hundreds of dimensions makes the classes narrower than they are, in the extreme
    points, and dividing by that would saturate the softmax. Within a class and not in total, since the total grows with
    the gap between the classes, and an attribute that is told apart well would then count less than one that is not.
    """
    benign = ~labelled.toxic
    fold_of = assign_folds(benign, labelled.groups, folds, seed)
    margins = np.empty(len(benign))
    for fold in range(folds):
        out = fold_of == fold
        subspace = fit_subspace(hidden[~out], benign[~out])
        margins[out] = (hidden[out] - subspace.centre) @ subspace.normal
    within = np.where(benign, margins - margins[benign].mean(), margins - margins[~benign].mean())
    spread = max(float(np.sqrt((within**2).sum() / (len(within) - 2))), 1e-12)
    return _Boundary(fit_subspace(hidden, benign), float(((margins > 0) == benign).mean()), spread)
