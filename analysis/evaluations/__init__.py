"""Evaluations, one a file: the file's name is the key in YAML and the `evaluation` column of the results."""

from __future__ import annotations

from analysis.evaluations.base import Evaluation
from infra.registry import Registry

EVALUATIONS: Registry[Evaluation] = Registry("analysis.evaluations", Evaluation)  # type: ignore[type-abstract]

__all__ = ["EVALUATIONS", "Evaluation"]
