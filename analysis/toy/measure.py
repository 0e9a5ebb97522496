"""What a trained ensemble knows, and how its features lie: the tables of the artifact."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import torch

from analysis.geometry.entanglement import entanglement, nearest
from analysis.geometry.estimators import feature_directions
from analysis.toy.chains import Array, chain_of, readable_from, sequences
from analysis.toy.model import Ensemble
from analysis.toy.spec import ToyEstimatorSpec, ToySpec
from analysis.toy.train import cells_of, one_thread

RESULTS_SCHEMA: dict[str, Any] = {
    "share": pl.Float64, "seed": pl.Int64, "estimator": pl.String, "feature": pl.Int64, "chain": pl.Int64,
    "rare": pl.Boolean, "entanglement": pl.Float64, "nearest": pl.Int64, "loss": pl.Float64, "accuracy": pl.Float64,
}  # fmt: skip
"""One row a (model, estimator, feature). `nearest` is the feature that it is most entangled with; `loss` (nats) and
`accuracy` are of the next token, where the prefix tells the chain.
"""


@torch.no_grad()
def measure(spec: ToySpec, ensemble: Ensemble) -> pl.DataFrame:
    """A table of `RESULTS_SCHEMA`, sorted by share, seed, estimator (in the order of the file), feature."""
    rows = sequences(spec.chains, spec.length + 1)
    with one_thread():
        logits, stream = ensemble.forward(torch.from_numpy(rows[:, :-1]))
        known = _prediction(logits, rows, readable_from(spec.chains))
        parts = [_of_estimator(spec, estimator, stream.numpy(), rows, known) for estimator in spec.estimators]
    return pl.concat(parts).sort("share", "seed", maintain_order=True)


def _prediction(logits: torch.Tensor, rows: Array, first: int) -> dict[str, Array]:
    """Loss and accuracy of the next token [models, features] from position `first` on."""
    first = min(first, rows.shape[1] - 2)
    chances = logits[:, :, first:].log_softmax(-1)
    target = torch.from_numpy(rows[None, :, first + 1 :, None]).expand(len(chances), -1, -1, 1)
    hit = chances.argmax(-1) == target[..., 0]
    return {"loss": -chances.gather(-1, target)[..., 0].mean(-1).numpy(), "accuracy": hit.float().mean(-1).numpy()}


def _of_estimator(
    spec: ToySpec, estimator: ToyEstimatorSpec, stream: Array, rows: Array, known: dict[str, Array]
) -> pl.DataFrame:
    """`stream` [models, features, length, width]; rows of one estimator."""
    models, features, _, width = stream.shape
    points = stream[:, :, spec.probe_from :].reshape(models, -1, width)
    token = rows[:, spec.probe_from : -1]
    feature = np.repeat(np.arange(features), token.shape[1])
    directions = feature_directions(
        points, feature, token.ravel(), estimator.name, by_token=estimator.by_token, c=spec.penalty
    )
    cells, chains = cells_of(spec), chain_of(spec.chains)
    columns = {
        "share": np.repeat([cell.share for cell in cells], features),
        "seed": np.repeat([cell.seed for cell in cells], features),
        "estimator": [estimator.words] * (models * features),
        "feature": np.tile(np.arange(features), models),
        "chain": np.tile(chains, models),
        "rare": np.tile(chains == spec.rare, models),
        "entanglement": entanglement(directions).ravel(),
        "nearest": nearest(directions).ravel(),
        **{name: values.ravel() for name, values in known.items()},
    }
    return pl.DataFrame(columns, schema_overrides=RESULTS_SCHEMA).select(RESULTS_SCHEMA.keys())
