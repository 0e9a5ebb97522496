"""Evaluations, one a file; the name is the key in YAML and the `evaluation` column of the results. A new one has its
options in `options.py`, a key in `analysis.spec` and its class in the table here. `analysis.spec` and `analysis.stage`
import it.
"""

from __future__ import annotations

from typing import Any

from analysis.evaluations.base import Evaluation
from infra.config.registry import Registry

EVALUATIONS: Registry[Evaluation[Any]] = Registry(
    "evaluation",
    {
        "capability": "analysis.evaluations.capability:Capability",
        "cross_entropy": "analysis.evaluations.cross_entropy:CrossEntropy",
        "fluency": "analysis.evaluations.fluency:Fluency",
        "probes": "analysis.evaluations.probes:Probes",
        "recognition": "analysis.evaluations.recognition:Recognition",
        "red_team": "analysis.evaluations.red_team:RedTeam",
        "relearning": "analysis.evaluations.relearning:Relearning",
        "toxicity": "analysis.evaluations.toxicity:Toxicity",
    },
)

__all__ = ["EVALUATIONS", "Evaluation"]
