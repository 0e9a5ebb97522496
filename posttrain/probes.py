"""Per-head logistic probes: how well each head's output at the last token tells toxic from benign text.

Every head is one small convex problem of the same shape, so all heads of a layer are solved together by Newton's
method in batched linear algebra; the optimum is scikit-learn's `LogisticRegression` (C = 1, intercept not penalised).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from infra.atomic import atomic_path
from infra.errors import AmountError

Array = np.ndarray[Any, np.dtype[Any]]
FILE = "probes.safetensors"
_ELEMENTS = 1 << 24  # of one block of heads: 128 MB in float64
_NEWTON_STEPS = 30


@dataclass(frozen=True)
class HeadProbes:
    """`accuracy` [layers, heads]: mean over folds of held-out accuracy; `fold_accuracy` [folds, layers, heads].

    `coefficients` [layers, heads, head_dim] and `intercepts` [layers, heads]: of a probe on all the data, in the units
    of the activations, pointing at the class `positive`. `margin` [layers, heads]: mean signed distance of held-out
    texts from the boundary, in standard deviations of that distance within a class; where accuracy is at its ceiling,
    it still tells heads apart. 0 for a head that computes nothing.
    """

    accuracy: Array
    fold_accuracy: Array
    coefficients: Array
    intercepts: Array
    margin: Array


def probe_heads(heads: Array, positive: Array, groups: Array, folds: int = 5, seed: int = 0) -> HeadProbes:
    """Probe every head of `heads` [layers, n, heads, head_dim] for the labels `positive` [n] bool, one layer at a time:
    a memory map is read layer by layer.

    Texts of the same group (lines of one document) stay on the same side of every fold: otherwise a probe is
    rewarded for recognising the document. Raises AmountError for too few groups.
    """
    fold_of = assign_folds(positive, groups, folds, seed)
    layers = [_probe_layer(layer, positive, fold_of) for layer in heads]
    accuracy, margin, coefficients, intercepts = (np.stack(figures) for figures in zip(*layers, strict=True))
    by_fold = accuracy.swapaxes(0, 1)
    return HeadProbes(by_fold.mean(0), by_fold, coefficients, intercepts, margin)


def save_probes(folder: Path, probes: HeadProbes) -> None:
    """Write `probes.safetensors`, atomically."""
    with atomic_path(folder / FILE) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in vars(probes).items()}, temporary)


def load_probes(folder: Path) -> HeadProbes:
    """What `save_probes` wrote."""
    return HeadProbes(**load_file(folder / FILE))


def _probe_layer(features: Array, positive: Array, fold_of: Array) -> tuple[Array, Array, Array, Array]:
    """Of `features` [n, heads, head_dim]: held-out accuracy [folds, heads], margin [heads], and the coefficients
    [heads, head_dim] and intercepts [heads] of all the data.
    """
    n, count, width = features.shape
    folds = int(fold_of.max()) + 1
    accuracy, margin = np.empty((folds, count)), np.empty((folds, count))
    coefficients, intercepts = np.empty((count, width)), np.empty(count)
    block = max(1, _ELEMENTS // (n * width))
    target = torch.from_numpy(positive.astype(np.float64))
    for first in range(0, count, block):
        columns = slice(first, first + block)
        heads = torch.from_numpy(np.ascontiguousarray(features[:, columns].transpose(1, 0, 2))).double()
        for fold in range(folds):
            held_out = torch.from_numpy(fold_of == fold)
            weight, bias = fit_logistic(heads[:, ~held_out], target[~held_out])
            score = (heads[:, held_out] @ weight[:, :, None])[:, :, 0] + bias[:, None]
            accuracy[fold, columns] = ((score > 0) == (target[held_out] > 0.5)).double().mean(-1).numpy()
            margin[fold, columns] = _margin(score, target[held_out]).numpy()
        weight, bias = fit_logistic(heads, target)
        coefficients[columns], intercepts[columns] = weight.numpy(), bias.numpy()
    return accuracy, margin.mean(0), coefficients, intercepts


def _margin(score: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean signed score in standard deviations within a class; [h, n], [n] -> [h]."""
    members = torch.stack([target, 1 - target])
    means = score @ (members / members.sum(1, keepdim=True).clamp(min=1)).T
    within = ((score - means @ members) ** 2).sum(-1) / max(len(target) - 2, 1)
    return torch.where(within > 0, ((2 * target - 1) * score).mean(-1) / within.clamp(min=1e-300).sqrt(), 0.0)


def assign_folds(positive: Array, groups: Array, folds: int, seed: int) -> Array:
    """Fold of each text: classes in equal shares, groups whole."""
    from sklearn.model_selection import StratifiedGroupKFold

    for label in (True, False):
        documents = len(np.unique(groups[positive == label]))
        if documents < folds:
            name = "benign" if label else "toxic"
            raise AmountError(f"{documents} documents with {name} text are too few for {folds} folds; label more text")
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    fold_of = np.empty(len(positive), dtype=np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(positive, positive, groups)):
        fold_of[held_out] = fold
    return fold_of


def fit_logistic(features: torch.Tensor, target: torch.Tensor, c: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regression of `target` [n] (or one a problem, [h, n]) on each `features[h]` [n, width]; returns weights
    [h, width], bias [h].

    Features are standardised inside (the penalty would otherwise depend on a head's scale, which differs by orders
    of magnitude between layers) and the weights are given back in the units that came in.
    """
    mean, std = features.mean(1, keepdim=True), features.std(1, keepdim=True, correction=0)
    std = torch.where(std > 1e-8 * std.amax(-1, keepdim=True), std, torch.inf)  # a constant feature gets weight 0
    standard = (features - mean) / std
    # The optimum lies in the span of the texts, and the penalty sees no rotation: where there are fewer texts than
    # features (a residual stream), n dimensions hold it.
    basis = torch.linalg.qr(standard.mT).Q if standard.shape[2] > standard.shape[1] else None
    design = standard if basis is None else standard @ basis
    design = torch.cat([design, features.new_ones(*features.shape[:2], 1)], -1)
    penalty = torch.full((design.shape[-1],), 1 / c, dtype=design.dtype)
    penalty[-1] = 0
    weight = _newton(design, target, penalty)
    slope = weight[:, :-1] if basis is None else (basis @ weight[:, :-1, None])[:, :, 0]
    raw = slope / std[:, 0]
    return raw, weight[:, -1] - (raw * mean[:, 0]).sum(-1)


def _newton(design: torch.Tensor, target: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    """Minimise sum log(1 + exp(-signed score)) + penalty |w|^2 / 2 for each problem; [h, n, k], [n] or [h, n], [k] ->
    [h, k].
    """
    weight = design.new_zeros(design.shape[0], design.shape[2])
    # A whole Newton step may overshoot where classes separate; the best of a few lengths, 0 included, never does.
    lengths = design.new_tensor([1.0, 0.5, 0.25, 0.0625, 0.0])
    for _ in range(_NEWTON_STEPS):
        probability = torch.sigmoid(_scores(design, weight))
        gradient = ((probability - target)[:, None] @ design)[:, 0] + penalty * weight
        if gradient.abs().max() < 1e-8 * target.shape[-1]:
            break
        curvature = (probability * (1 - probability))[..., None] * design
        hessian = design.mT @ curvature + torch.diag(penalty + 1e-10)
        step = torch.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        trials = torch.stack([_loss(design, target, penalty, weight - length * step) for length in lengths])
        weight = weight - lengths[trials.argmin(0)][:, None] * step
    return weight


def _scores(design: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (design @ weight[:, :, None])[:, :, 0]


def _loss(design: torch.Tensor, target: torch.Tensor, penalty: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    margin = (2 * target - 1) * _scores(design, weight)
    return torch.nn.functional.softplus(-margin).sum(-1) + 0.5 * (penalty * weight**2).sum(-1)
