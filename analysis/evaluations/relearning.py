"""The evaluation `relearning`: how fast a model learned to be toxic again, from the curve that the attack left.

The attack (`tune: unlearn-relearn`, see `posttrain.tuning.relearn`) measures while it trains; here its points become
rows. A model that is no such attack's has none, so a study asks every arm.
"""

from __future__ import annotations

from pathlib import Path

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import RelearningSpec
from analysis.results import Row, Score
from infra.artifacts.artifact import is_artifact, read_artifact
from infra.errors import ArtifactError
from posttrain.tuning.log import read_lines
from posttrain.tuning.relearn import CURVE, CurvePoint

TOXIC, SCORED, UNSCORED, UNTIL = "toxic", "scored", "unscored", "until"


class Relearning(Evaluation[RelearningSpec]):
    """The whole curve is one chunk; it is that of the weights, so a steered model has none."""

    options = RelearningSpec
    reads = ()

    def chunks(self) -> int:
        """One for the unsteered model that an attack has made, else none."""
        return int(self.subject.steering is None and threshold_of(self.subject.model.location) is not None)

    def rows(self, chunk: int) -> list[Row]:
        """One row a measurement, with the score at which the attack stops. Raises ArtifactError for no measurement."""
        location = self.subject.model.location
        until = threshold_of(location)
        points = read_lines(CurvePoint, Path(location) / CURVE)
        if until is None or not points:
            raise ArtifactError(f"{location}: no relearning attack has left a measurement here ({CURVE})")
        return [_row(number, point, until) for number, point in enumerate(points)]


def threshold_of(location: str) -> float | None:
    """Mean toxicity at which the attack stopped that made the model at `location`; None of another model."""
    if not is_artifact(Path(location)):
        return None
    artifact = read_artifact(location)
    method = artifact.config.get("method") if artifact.kind == "tune" else None
    if not isinstance(method, dict) or method.get("name") != "unlearn-relearn":
        return None
    until = method["until"]
    return float(until) if isinstance(until, (int, float)) else None


def _row(number: int, point: CurvePoint, until: float) -> Row:
    figures = {TOXIC: point.toxic, SCORED: point.scored, UNSCORED: point.unscored, UNTIL: until}
    return Row(
        prompt=number,
        prompt_id=f"step {point.step}",
        value=point.mean,
        tokens=point.step,
        scores=tuple(Score("", name, float(figure)) for name, figure in figures.items()),
    )
