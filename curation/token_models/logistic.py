"""Logistic regression on soft targets."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse, vstack

from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_logistic(
    columns: Any, targets: NDArray[np.float32], strength: float, iterations: int
) -> tuple[NDArray[np.float64], float]:
    """Coefficients [columns] and offset of scikit-learn's L2-penalised regression; the columns may be sparse.

    A target between 0 and 1 enters twice, as risky and as harmless, with its shares. Stopping before convergence is no
    error: it regularises, and validation texts judge the result. Raises InputError for targets of one kind only.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if targets.max(initial=0) == 0 or targets.min(initial=1) == 1:
        raise InputError("a tagger learns from risky and harmless words, and the labels hold (nearly) only one kind")
    soft = (targets > 0) & (targets < 1)
    if soft.any():
        columns = (vstack if issparse(columns) else np.vstack)([columns, columns[soft]])
    if issparse(columns):
        columns = columns.tocsr()
    labels = np.concatenate([targets > 0, np.zeros(soft.sum(), dtype=bool)])
    weights = np.concatenate([np.where(soft, targets, 1.0), 1.0 - targets[soft]])
    model = LogisticRegression(C=strength, max_iter=iterations, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(columns, labels, sample_weight=weights)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])
