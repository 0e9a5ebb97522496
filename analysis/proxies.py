"""A study's mixtures as proxy runs of a swarm: two CSV files that `kind: swarm` imports as they are.

A row is a mixture (a dose). A column is a target: `POLICY.METHOD.toxicity` is the toxicity after steering at the
study's cross-entropy budget, `POLICY.cross_entropy` that of the unsteered model on held-out clean text. A target that
some mixture lacks, or that the budget does not reach there, is left out: a swarm takes no gaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from analysis.findings import Findings
from analysis.panels import NONE
from analysis.report_input import ArmRecord, ReportInput
from mixtures.swarm.tables import write_numbers

FOLDER = "proxies"
Targets = dict[str, dict[float, float]]
"""Column -> dose -> value."""


def write_proxies(report: ReportInput, findings: Findings, folder: Path) -> None:
    """Write `proxies/mixtures.csv` and `proxies/results.csv`; nothing where no target is whole."""
    arms = {arm.dose: arm for arm in report.arms if arm.mixture.get("components")}
    targets = _whole({**_toxicity(findings.dose_response), **_cross_entropy(findings.frontier)}, sorted(arms))
    if not targets:
        return
    index = [f"dose-{dose:g}" for dose in sorted(arms)]
    tokens = [_tokens(arms[dose]) for dose in sorted(arms)]
    components = list(dict.fromkeys(name for each in tokens for name in each))
    counts = np.asarray([[each.get(name, 0) for name in components] for each in tokens], np.float64)
    write_numbers(folder / FOLDER / "mixtures.csv", index, components, counts / counts.sum(1, keepdims=True))
    values = np.asarray([[column[dose] for column in targets.values()] for dose in sorted(arms)], np.float64)
    write_numbers(folder / FOLDER / "results.csv", index, list(targets), values)


def _tokens(arm: ArmRecord) -> Mapping[str, int]:
    return {each["name"]: each["tokens"] for each in arm.mixture["components"]}


def _toxicity(points: pl.DataFrame) -> Targets:
    """Toxicity at the budget, where the budget allows it."""
    found: Targets = {}
    for row in points.filter(pl.col("feasible")).iter_rows(named=True) if points.width else ():
        found.setdefault(f"{row['policy']}.{row['method']}.toxicity", {})[row["dose"]] = row["toxicity"]
    return found


def _cross_entropy(frontier: pl.DataFrame) -> Targets:
    """Unsteered cross-entropy; a policy without its own dose 0 has the one that was trained there."""
    if not frontier.width:
        return {}
    rows = frontier.filter(pl.col("method") == NONE).select("policy", "dose", "cross_entropy").rows()
    clean = {dose: value for _, dose, value in rows if dose == 0}
    found: Targets = {}
    for policy, dose, value in rows:
        found.setdefault(f"{policy}.cross_entropy", dict(clean))[dose] = value
    return found


def _whole(targets: Targets, doses: list[float]) -> Targets:
    kept = {name: column for name, column in targets.items() if doses and column.keys() >= set(doses)}
    return {name: kept[name] for name in sorted(kept) if all(np.isfinite(kept[name][dose]) for dose in doses)}
