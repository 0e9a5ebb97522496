"""How far the direction of one attribute of text (toxicity) is entangled with those of others, in a real model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.geometry.entanglement import Array, entanglement, nearest
from analysis.geometry.estimators import ESTIMATORS
from analysis.geometry.names import EstimatorName
from posttrain.directions import unit
from posttrain.labelled import Labelled
from posttrain.model import CausalModel


@dataclass(frozen=True)
class LayerEntanglement:
    """Of the first attribute, in the residual stream after `layer`: E, and the attribute that it is nearest to."""

    layer: int
    estimator: EstimatorName
    entanglement: float
    nearest: str


def attribute_entanglement(attributes: Mapping[str, Labelled], model: CausalModel) -> list[LayerEntanglement]:
    """Of the first of `attributes` against the others, by every layer and estimator. A direction leads from the texts
    without the attribute to those with it, texts drawn for that attribute.
    """
    names, rows = list(attributes), []
    streams = {name: labelled.computed_by(model).residual for name, labelled in attributes.items()}
    for layer in range(len(streams[names[0]])):
        for estimator in ESTIMATORS:
            vectors = [_direction(streams[name][layer], attributes[name].toxic, estimator) for name in names]
            directions = unit(np.stack(vectors))
            first, near = float(entanglement(directions)[0]), names[nearest(directions)[0]]
            rows.append(LayerEntanglement(layer, estimator, first, near))
    return rows


def _direction(points: Array, member: Array, estimator: EstimatorName) -> Array:
    """[n, width], [n] bool -> [width]."""
    return np.asarray(ESTIMATORS[estimator](points[None].astype(np.float64), member[None], 1.0)[0])
