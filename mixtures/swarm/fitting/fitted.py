"""A fitted swarm: the response model of every target, kept as plain arrays, and its predictions for new mixtures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.artifacts.artifact import read_artifact
from infra.artifacts.inputs import check_input
from infra.atomic import atomic_path
from infra.errors import InputError
from mixtures.swarm.record import RECORD, SwarmRecord
from mixtures.swarm.responses import RESPONSES
from mixtures.swarm.responses.base import Response
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.tables import read_mixtures, write_numbers

MODELS = "models.npz"


@dataclass(frozen=True)
class FittedSwarm:
    """Response models by name, each with the targets (columns) that it was chosen for.

    `signs` is 1 for a target that is minimised and -1 for one that is maximised: models are fitted to sign × value.
    """

    components: tuple[str, ...]
    targets: tuple[str, ...]
    signs: Array
    models: Mapping[str, Response]
    columns: Mapping[str, tuple[int, ...]]

    def predict(self, mixtures: Array) -> Array:
        """Predicted targets [n, t] of mixtures [n, m], in the units and the order of the imported results."""
        predicted = np.empty((len(mixtures), len(self.targets)))
        for name, model in self.models.items():
            predicted[:, list(self.columns[name])] = model.predict(mixtures)[0].T
        return predicted * self.signs

    def save(self, path: Path) -> None:
        """Write the arrays; equal models give equal bytes."""
        arrays = {
            f"{name}/{key}": array for name, model in self.models.items() for key, array in model.arrays().items()
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, record: SwarmRecord) -> FittedSwarm:
        """Read what `save` wrote into the folder of the artifact with this record."""
        chosen = [target.response for target in record.targets]
        with np.load(folder / MODELS, allow_pickle=False) as stored:
            models = {
                name: RESPONSES.get(name).from_arrays(_within(stored, f"{name}/")) for name in dict.fromkeys(chosen)
            }
        return cls(
            record.components,
            tuple(target.name for target in record.targets),
            np.asarray([-1.0 if target.goal == "maximise" else 1.0 for target in record.targets]),
            models,
            columns_of(chosen),
        )


def fit_chosen(
    mixtures: Array, signed: Array, chosen: Sequence[str], counts: Array, seed: int, workers: int
) -> dict[str, Response]:
    """Fit every response model to the targets that it was chosen for (`signed` [n, t], `chosen` by target)."""
    return {
        name: RESPONSES.get(name).fit(mixtures, signed[:, list(columns)], counts, seed, workers)
        for name, columns in columns_of(chosen).items()
    }


def columns_of(chosen: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The targets of each response model, in the order in which the models first come."""
    columns: dict[str, tuple[int, ...]] = {}
    for column, name in enumerate(chosen):
        columns[name] = (*columns.get(name, ()), column)
    return columns


def open_swarm(folder: Path) -> FittedSwarm:
    """The fitted swarm of an artifact, its checksums compared. Raises InputError for a design, ArtifactError."""
    artifact = read_artifact(folder, "swarm")
    if RECORD not in artifact.files:
        raise InputError(f"{folder}: is a design without results; train its mixtures, then fit with `proxies:`")
    check_input(artifact)
    return FittedSwarm.load(folder, SwarmRecord.from_json(folder))


def predict_file(folder: Path, mixtures: Path, out: Path) -> int:
    """Predictions for the mixtures of a CSV file into another, written whole or not at all; returns how many."""
    swarm = open_swarm(folder)
    index, shares = read_mixtures(mixtures, swarm.components)
    write_numbers(out, index, swarm.targets, swarm.predict(shares))
    return len(index)


def _within(stored: Mapping[str, NDArray[np.generic]], prefix: str) -> dict[str, NDArray[np.generic]]:
    return {key.removeprefix(prefix): stored[key] for key in stored if key.startswith(prefix)}
