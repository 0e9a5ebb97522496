"""SASA, self-disciplined autoregressive sampling (Ko et al. 2025, arXiv 2410.03818).

Fitting finds the linear boundary between benign and toxic texts in the model's own final hidden states (Gaussians with
a pooled covariance, which is linear discriminant analysis). Decoding asks, for the most probable next tokens, on which
side of it the text would then be, and adds beta * softmax(margins) to their logits.

How candidates are looked at is told in `posttrain.decoding.candidates`, and what that costs in cross-entropy in
`posttrain.token_nats`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.activations import last_token
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
        args = fitted.args
        assert isinstance(args, SasaArgs)
        self.candidates, self.measured_positions = args.max_candidates, args.cross_entropy_positions
        self.normal = fitted.tensors["normal"].to(model.device)
        self.boundary = float(fitted.tensors["normal"].double() @ fitted.tensors["centre"].double())

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: SasaArgs, seed: int) -> Fitted:
        """Fit the boundary on all texts; its accuracy is cross-validated with documents kept whole."""

        assert labelled is not None
        hidden, benign = last_token(model, labelled.texts).hidden, ~labelled.toxic
        fold_of = assign_folds(benign, labelled.groups, args.folds, seed)
        right = np.empty(len(benign), dtype=bool)
        for fold in range(args.folds):
            out = fold_of == fold
            subspace = fit_subspace(hidden[~out], benign[~out])
            right[out] = ((hidden[out] - subspace.centre) @ subspace.normal > 0) == benign[out]
        subspace = fit_subspace(hidden, benign)
        tensors = {"normal": torch.from_numpy(subspace.normal), "centre": torch.from_numpy(subspace.centre)}
        facts = FitFacts(boundary_accuracy=round(float(right.mean()), 6), texts=len(labelled.texts))
        return Fitted.of(model, args, tensors, facts)

    def margins(self, hidden: torch.Tensor) -> torch.Tensor:
        """Signed distance of hidden states to the boundary, positive on the benign side; float64, last axis gone."""
        return (hidden.float() @ self.normal).double() - self.boundary

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """beta * softmax of the margins over the candidates `inside`; shapes as in `Method.bonus`."""
        shares_BK = self.margins(hidden).masked_fill(~inside, -float("inf")).softmax(-1)
        return self.strength * shares_BK
