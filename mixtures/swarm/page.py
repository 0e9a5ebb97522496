"""The page of a swarm: the optimum beside the natural proportions, targets, predicted against measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from infra.artifacts.artifact import Artifact
from infra.render.html import table_html
from infra.render.page import Page, Table
from mixtures.swarm import drawings
from mixtures.swarm.artifact_files import CHECK_MEASURED, CHECK_PREDICTED, DESIGN, MEASURED, VALIDATED
from mixtures.swarm.fitting.choose import spearman
from mixtures.swarm.fitting.fitted import RECORD
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.tables import Numbers, read_numbers


def show_swarm(artifact: Artifact) -> Page:
    """Tables for the terminal and the page's body."""
    title = f"swarm {artifact.path.name}"
    if RECORD not in artifact.files:
        table = _design(_numbers(artifact.path / DESIGN))
        return Page(f"{title}: a design", (table,), table_html(table))
    record = json.loads((artifact.path / RECORD).read_text(encoding="utf-8"))
    optimum, shares, targets, fit = _optimum(record), _shares(record), _targets(record), _fit(record)
    body = table_html(optimum) + drawings.shares(list(record["shares"].items())) + table_html(shares)
    body += table_html(targets) + table_html(fit)
    body += _scatters("Cross-validated: each run predicted without it", artifact.path, MEASURED, VALIDATED)
    tables: tuple[Table, ...] = (optimum, shares, targets, fit)
    if doubts := record.get("doubts"):
        tables = (Table("to be doubted", ("what",), tuple((doubt,) for doubt in doubts)), *tables)
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


def _optimum(record: dict[str, Any]) -> Table:
    found = record["optimum"]
    labels = {"value": "objective at the optimum", "natural": "at the natural mixture", "gain": "gain"}
    rows = tuple((label, found[key]["value"], found[key]["low"], found[key]["high"]) for key, label in labels.items())
    how = "solved exactly" if found["exact"] else "searched for"
    title = f"optimum out of {record['runs']} runs, {how}; weighted mean of the targets, lower is better"
    return Table(title, ("what", "estimate", f"{found['level']:.0%} from", "to"), rows)


def _shares(record: dict[str, Any]) -> Table:
    rows = tuple(
        (name, row["natural"], row["optimum"], row["low"], row["high"], row["cap"], row["optimum"] / row["natural"])
        for name, row in record["shares"].items()
    )
    columns = ("component", "natural", "optimum", "from", "to", "cap", "× natural")
    return Table("shares", columns, rows)


def _targets(record: dict[str, Any]) -> Table:
    rows = tuple(
        (row["name"], row["goal"], row["weight"], row["at_natural"], row["at_optimum"]) for row in record["targets"]
    )
    columns = ("target", "goal", "weight", "predicted: natural", "predicted: optimum")
    return Table("targets", columns, rows)


def _fit(record: dict[str, Any]) -> Table:
    """Each response model's cross-validated error and rank correlation; the chosen one, and how it does on `check`."""
    names = list(record["targets"][0]["rmse"])
    rows = [
        (
            row["name"],
            row["response"],
            *(row[figure][name] for name in names for figure in ("rmse", "spearman")),
            row["check_spearman"],
        )
        for row in record["targets"]
    ]
    means = [float(np.mean([row[place] for row in rows])) for place in range(2, 2 + 2 * len(names))]
    checked = [row[-1] for row in rows if row[-1] is not None]
    rows.append(("mean", "", *means, float(np.mean(checked)) if checked else None))
    figures = [f"{name}: {figure}" for name in names for figure in ("RMSE", "Spearman")]
    title = "fit (cross-validated; the response with the smaller error is taken)"
    return Table(title, ("target", "response", *figures, "Spearman on check"), tuple(rows))


def _scatters(title: str, folder: Path, measured: str, predicted: str) -> str:
    """A small plot for every target."""
    true, guess = _numbers(folder / measured), _numbers(folder / predicted)
    values: list[Array] = [each.select(true.columns, true.rows) for each in (true, guess)]
    ranks = spearman(values[1], values[0])
    plots = (
        drawings.scatter(name, values[0][:, index], values[1][:, index], float(ranks[index]))
        for index, name in enumerate(true.columns)
    )
    return f"<h2>{title}</h2><div>{''.join(plots)}</div>"


def _numbers(path: Path) -> Numbers:
    return read_numbers(path, [])
