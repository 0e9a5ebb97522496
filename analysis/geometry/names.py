"""Names of the estimators of directions, for YAML. Light to import."""

from __future__ import annotations

from typing import Literal

EstimatorName = Literal["logistic", "mass_mean", "lda"]
"""logistic: coefficients of a logistic regression; mass_mean: difference of the means; lda: linear discriminant."""
