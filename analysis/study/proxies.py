"""`hormesis export STUDY --to swarm`: a study's mixtures as proxy runs, two CSV files that `kind: swarm` imports.

A row is a mixture (a dose). A column is a target: `POLICY.METHOD.toxicity` is the toxicity after steering at the
study's cross-entropy budget, `POLICY.cross_entropy` that of the unsteered model on held-out clean text. A target that
some mixture lacks, or that the budget does not reach there, is left out: a swarm takes no gaps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from analysis.report.input import Composition
from analysis.statistics.panels import NONE
from infra.artifacts.artifact import STEPS, Artifact
from infra.artifacts.records import read_record
from infra.errors import InputError
from infra.stages.result_folders import made
from mixtures.formats.file_names import MANIFEST
from mixtures.swarm.tables import write_numbers

Targets = dict[str, dict[str, float]]
"""Column -> mixture -> value."""


def export_proxies(study: Artifact, folder: Path) -> None:
    """Write `mixtures.csv` and `results.csv` into `folder`. Raises InputError where no target is whole."""
    points, frontier = (_table(study, name) for name in ("dose_response", "frontier"))
    mixtures = list(dict.fromkeys(frontier.sort("dose")["mixture"]))
    targets = _whole({**_toxicity(points), **_cross_entropy(frontier)}, mixtures)
    if not targets:
        raise InputError(f"{study.path}: no target was measured on all of its {len(mixtures)} mixtures")
    tokens = [_tokens(study, name) for name in mixtures]
    components = list(dict.fromkeys(name for mixture in tokens for name in mixture))
    counts = np.asarray([[mixture.get(name, 0) for name in components] for mixture in tokens], np.float64)
    write_numbers(folder / "mixtures.csv", mixtures, components, counts / counts.sum(1, keepdims=True))
    values = np.asarray([[column[name] for column in targets.values()] for name in mixtures], np.float64)
    write_numbers(folder / "results.csv", mixtures, list(targets), values)


def _table(study: Artifact, name: str) -> pl.DataFrame:
    path = study.path / "tables" / f"{name}.parquet"
    if not path.is_file():
        raise InputError(f"{study.path}: its report has no {name}: toxicity and cross-entropy were not both measured")
    return pl.read_parquet(path)


def _tokens(study: Artifact, mixture: str) -> dict[str, int]:
    """Training tokens of each component, from the mixture that the study built."""
    folder = study.path / STEPS / mixture  # other studies may have their steps there too
    built = made(folder, study.inputs[mixture])
    if built is None:
        raise InputError(f"{folder}: no such mixture; the study's own steps are needed beside its report")
    return {item.name: item.tokens for item in read_record(Composition, built.path / MANIFEST).components}


def _toxicity(points: pl.DataFrame) -> Targets:
    """Toxicity at the budget, where the budget allows it; a dose of 0 stands under every policy."""
    targets: Targets = {}
    for row in points.filter(pl.col("feasible")).iter_rows(named=True):
        targets.setdefault(f"{row['policy']}.{row['method']}.toxicity", {})[row["mixture"]] = row["toxicity"]
    return targets


def _cross_entropy(frontier: pl.DataFrame) -> Targets:
    """Unsteered cross-entropy; a policy without its own dose 0 has the one that was trained there."""
    rows = frontier.filter(pl.col("method") == NONE).select("policy", "dose", "mixture", "cross_entropy").rows()
    clean = {mixture: value for _, dose, mixture, value in rows if dose == 0}
    targets: Targets = {}
    for policy, _, mixture, value in rows:
        targets.setdefault(f"{policy}.cross_entropy", dict(clean))[mixture] = value
    return targets


def _whole(targets: Targets, mixtures: list[str]) -> Targets:
    whole = {}
    for name, column in sorted(targets.items()):
        if column.keys() >= set(mixtures) and all(np.isfinite(column[mixture]) for mixture in mixtures):
            whole[name] = column
    return whole
