"""One probe of a text's state: the probability that a text is toxic, by a probe that has seen nothing of its document.

Wang et al. 2025 (arXiv 2505.03052) fit scikit-learn's `LogisticRegression` (C = 1, balanced classes) on the last
layer's state at the last token and report the AUROC on held-out texts. Here the features are standardised first, so
that the penalty is the same for every model, and cross-validation takes the place of repeated splits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.probes import assign_folds, fit_logistic

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class HeldOutProbabilities:
    """Of n texts: `probability` [n] float64 of being toxic (nan where the states are no numbers), the `fold` [n] that
    held the text out, and how many texts that fold's probe was `fitted_on` [n].
    """

    probability: Array
    fold: Array
    fitted_on: Array


def held_out_probabilities(states: Array, toxic: Array, groups: Array, folds: int, seed: int) -> HeldOutProbabilities:
    """Probe `states` [n, hidden] for the labels `toxic` [n] bool, cross-validated over `groups` [n].

    Raises AmountError for too few groups of a class.
    """
    fold_of = assign_folds(toxic, groups, folds, seed)
    sizes = np.bincount(fold_of, minlength=folds)
    if not np.isfinite(states).all():
        return HeldOutProbabilities(np.full(len(toxic), np.nan), fold_of, len(toxic) - sizes[fold_of])
    features, target = torch.from_numpy(states).double(), torch.from_numpy(toxic.astype(np.float64))
    probability = np.empty(len(toxic))
    for fold in range(folds):
        held_out = torch.from_numpy(fold_of == fold)
        weight, bias = fit_logistic(features[None, ~held_out], target[~held_out])
        probability[fold_of == fold] = torch.sigmoid(features[held_out] @ weight[0] + bias[0]).numpy()
    return HeldOutProbabilities(probability, fold_of, len(toxic) - sizes[fold_of])
