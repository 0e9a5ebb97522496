"""A fitted calibration: one rising curve per attribute, read from its artifact and applied to scores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.artifacts.inputs import open_input
from infra.artifacts.records import read_record
from infra.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


FILE = "calibration.json"


@dataclass(frozen=True)
class Curve:
    """Points of a rising function on [0, 1]; straight lines between them, level outside."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def apply(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Calibrated scores."""
        return np.interp(scores, self.x, self.y).astype(np.float32).clip(0, 1)


@dataclass(frozen=True)
class StoredCurves:
    """calibration.json, as far as scorers need it: the scorer that it was fitted to, by name and by the checksum of its
    weights, and the curves by attribute.
    """

    scorer: str
    weights: str
    attributes: dict[str, Curve]


@dataclass(frozen=True)
class Calibration:
    """Curves by attribute, and the checksum of the artifact that they come from."""

    curves: dict[str, Curve]
    fingerprint: str

    def apply(self, scores: NDArray[np.float32], attributes: tuple[str, ...]) -> NDArray[np.float32]:
        """Scores [n, attributes] on the reference's scale; columns without a curve stay as they are."""
        columns = [self.curves[name].apply(scores[:, column]) if name in self.curves else scores[:, column]
                   for column, name in enumerate(attributes)]  # fmt: skip
        return np.stack(columns, axis=1)


def read_calibration(folder: str | Path, scorer: str, possible_weights: Collection[str]) -> Calibration:
    """The calibration in `folder`, for the scorer of this name, whose weights have one of these checksums.

    Raises InputError where it is none, or was fitted to another scorer.
    """
    artifact = open_input(folder, "calibration")
    record = read_record(StoredCurves, artifact.path / FILE)
    if record.weights not in possible_weights:
        raise InputError(
            f"{folder}: fitted to {record.scorer}, and this is another scorer, or the same one with other weights "
            f"or another precision; fit it again with this one ({scorer})"
        )
    return Calibration(record.attributes, artifact.fingerprint)
