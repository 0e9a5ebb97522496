"""The page of a swarm: the optimum beside the natural proportions, targets, predicted against measured."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np

from infra.artifacts.artifact import Artifact
from infra.render.html import table_html
from infra.render.page import Page, Table
from mixtures.swarm import drawings
from mixtures.swarm.artifact_files import CHECK_MEASURED, CHECK_PREDICTED, DESIGN, MEASURED, VALIDATED
from mixtures.swarm.fitting.choose import spearman
from mixtures.swarm.record import RECORD, SwarmRecord, TargetRecord
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.tables import Numbers, read_numbers


def show_swarm(artifact: Artifact) -> Page:
    """Tables for the terminal and the page's body."""
    title = f"swarm {artifact.path.name}"
    if RECORD not in artifact.files:
        table = _design(_numbers(artifact.path / DESIGN))
        return Page(f"{title}: a design", (table,), table_html(table))
    record = SwarmRecord.from_json(artifact.path)
    optimum, shares, targets, fit = _optimum(record), _shares(record), _targets(record), _fit(record)
    body = table_html(optimum) + drawings.shares(record.shares) + table_html(shares)
    body += table_html(targets) + table_html(fit)
    body += _scatters("Cross-validated: each run predicted without it", artifact.path, MEASURED, VALIDATED)
    tables: tuple[Table, ...] = (optimum, shares, targets, fit)
    if record.doubts:
        tables = (Table("to be doubted", ("what",), tuple((doubt,) for doubt in record.doubts)), *tables)
        body = table_html(tables[0]) + body
    if CHECK_MEASURED in artifact.files:
        body += _scatters("Check runs: no model was fitted on them", artifact.path, CHECK_MEASURED, CHECK_PREDICTED)
    return Page(title, tables, body)


def _design(mixtures: Numbers) -> Table:
    values = mixtures.select(mixtures.columns, mixtures.rows)
    rows = tuple(
        (name, float(column[0]), float(column.mean()), float(column.max()), f"{np.mean(column > 0):.0%}")
        for name, column in zip(mixtures.columns, values.T, strict=True)
    )
    columns = ("component", "natural", "mean", "greatest", "runs that hold it")
    return Table(f"design of {len(values)} mixtures", columns, rows)


def _optimum(record: SwarmRecord) -> Table:
    optimum = record.optimum
    rows = tuple(
        (label, interval.value, interval.low, interval.high)
        for label, interval in (
            ("objective at the optimum", optimum.value),
            ("at the natural mixture", optimum.natural),
            ("gain", optimum.gain),
        )
    )
    how = "solved exactly" if optimum.exact else "searched for"
    title = f"optimum out of {record.runs} runs, {how}; weighted mean of the targets, lower is better"
    return Table(title, ("what", "estimate", f"{optimum.level:.0%} from", "to"), rows)


def _shares(record: SwarmRecord) -> Table:
    rows = tuple(
        (name, share.natural, share.optimum, share.low, share.high, share.cap, share.optimum / share.natural)
        for name, share in record.shares.items()
    )
    columns = ("component", "natural", "optimum", "from", "to", "cap", "× natural")
    return Table("shares", columns, rows)


def _targets(record: SwarmRecord) -> Table:
    rows = tuple(
        (target.name, target.goal, target.weight, target.at_natural, target.at_optimum) for target in record.targets
    )
    columns = ("target", "goal", "weight", "predicted: natural", "predicted: optimum")
    return Table("targets", columns, rows)


def _fit(record: SwarmRecord) -> Table:
    """Each response model's cross-validated error and rank correlation; the chosen one, and how it does on `check`."""
    names = list(record.targets[0].rmse)
    figures = [_figures(target, names) for target in record.targets]
    rows: list[tuple[object, ...]] = [
        (target.name, target.response, *values, target.check_spearman)
        for target, values in zip(record.targets, figures, strict=True)
    ]
    checked = [target.check_spearman for target in record.targets if target.check_spearman is not None]
    rows.append(("mean", "", *np.mean(figures, axis=0).tolist(), float(np.mean(checked)) if checked else None))
    labels = [f"{name}: {figure}" for name in names for figure in ("RMSE", "Spearman")]
    title = "fit (cross-validated; the response with the smaller error is taken)"
    return Table(title, ("target", "response", *labels, "Spearman on check"), tuple(rows))


def _figures(target: TargetRecord, names: list[str]) -> list[float]:
    """Error and rank correlation of each response model, one after another."""
    return list(chain.from_iterable((target.rmse[name], target.spearman[name]) for name in names))


def _scatters(title: str, folder: Path, measured: str, predicted: str) -> str:
    """A small plot for every target."""
    true, guess = _numbers(folder / measured), _numbers(folder / predicted)
    values: list[Array] = [numbers.select(true.columns, true.rows) for numbers in (true, guess)]
    ranks = spearman(values[1], values[0])
    plots = (
        drawings.scatter(name, values[0][:, index], values[1][:, index], float(ranks[index]))
        for index, name in enumerate(true.columns)
    )
    return f"<h2>{title}</h2><div>{''.join(plots)}</div>"


def _numbers(path: Path) -> Numbers:
    return read_numbers(path, [])
