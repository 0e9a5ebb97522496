"""The files of a swarm's artifact: a design's mixtures, or models, predictions, proposal and `swarm.json`."""

from __future__ import annotations

import numpy as np

from infra.artifacts.records import JsonObject, to_json
from infra.atomic import write_json
from infra.stages.stage import Workspace
from mixtures.swarm.bounds import bounds_of
from mixtures.swarm.design import sample_mixtures
from mixtures.swarm.doubts import doubts_of_optimum, doubts_of_runs
from mixtures.swarm.fitting.choose import spearman
from mixtures.swarm.fitting.fit import Fit, ProxyRuns, fit_swarm, read_inputs
from mixtures.swarm.fitting.fitted import MODELS
from mixtures.swarm.record import RECORD, OptimumRecord, ShareRecord, SwarmRecord, TargetRecord
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.spec import SwarmSpec
from mixtures.swarm.tables import write_numbers

DESIGN = "mixtures.csv"
MEASURED, VALIDATED = "measured.csv", "cross_validated.csv"
CHECK_MEASURED, CHECK_PREDICTED = "check_measured.csv", "check_predicted.csv"
PROPOSED = "proposed.csv"
"""The natural and the best mixture, as a mixture file that `hormesis predict` reads."""


def write_design(spec: SwarmSpec, workspace: Workspace) -> JsonObject:
    """The mixtures to train proxies on, indexed from 1; returns the artifact's counts."""
    assert spec.sample is not None
    bounds = bounds_of(spec.components, spec.limits)
    mixtures = sample_mixtures(spec.sample, bounds, spec.seed)
    write_numbers(workspace.path / DESIGN, [str(1 + row) for row in range(len(mixtures))], bounds.names, mixtures)
    return {"runs": len(mixtures), "components": len(bounds.names)}


def write_fit(spec: SwarmSpec, workspace: Workspace) -> JsonObject:
    """Fit, and write everything that predictions and the page need; returns the artifact's counts."""
    inputs = read_inputs(spec)
    with workspace.progress("swarm", len(spec.fit.responses) + 2, "steps") as advance:
        fit = fit_swarm(spec, inputs, workspace.workers, advance)
    runs, folder = inputs.runs, workspace.path
    proposed = np.stack([np.asarray(bounds_of(spec.components, spec.limits).natural), fit.best.mixture])
    write_numbers(folder / MEASURED, runs.index, runs.targets, runs.results)
    write_numbers(folder / VALIDATED, runs.index, runs.targets, fit.validated)
    write_numbers(folder / PROPOSED, ("natural", "optimum"), runs.components, proposed)
    if (check := inputs.check) is not None:
        write_numbers(folder / CHECK_MEASURED, check.index, check.targets, check.results)
        write_numbers(folder / CHECK_PREDICTED, check.index, check.targets, fit.swarm.predict(check.mixtures))
    fit.swarm.save(folder / MODELS)
    doubts = [*doubts_of_runs(inputs), *doubts_of_optimum(inputs, fit.best)]
    record = _record(spec, inputs, fit, fit.swarm.predict(proposed), doubts)
    write_json(folder / RECORD, to_json(record))
    for doubt in doubts:
        workspace.note(doubt)
    return {"runs": len(runs.index), "targets": len(runs.targets), "components": len(runs.components)}


def _record(spec: SwarmSpec, inputs: ProxyRuns, fit: Fit, predicted: Array, doubts: list[str]) -> SwarmRecord:
    best = fit.best
    return SwarmRecord(
        components=inputs.runs.components,
        runs=len(inputs.runs.index),
        outliers=inputs.outliers,
        targets=_targets(inputs, fit, predicted),
        shares=_shares(spec, fit),
        optimum=OptimumRecord(
            value=best.value,
            natural=best.natural,
            gain=best.gain,
            level=spec.optimum.level,
            replicates=spec.optimum.replicates,
            exact=best.exact,
        ),
        doubts=tuple(doubts),
    )


def _targets(inputs: ProxyRuns, fit: Fit, predicted: Array) -> tuple[TargetRecord, ...]:
    """Target by target: the model, how well each model does, and what is `predicted` [2, t] for both mixtures."""
    ranked = {
        validation.response: spearman(validation.predicted * inputs.signs, inputs.runs.results)
        for validation in fit.validations
    }
    check = inputs.check
    checked = None if check is None else spearman(fit.swarm.predict(check.mixtures), check.results)
    records = []
    for column, (name, target) in enumerate(zip(inputs.runs.targets, inputs.asked, strict=True)):
        record = TargetRecord(
            name=name,
            goal=target.goal,
            weight=target.weight,
            response=fit.chosen[column],
            rmse={validation.response: float(validation.errors[column]) for validation in fit.validations},
            spearman={response: float(values[column]) for response, values in ranked.items()},
            check_spearman=None if checked is None else float(checked[column]),
            at_natural=float(predicted[0, column]),
            at_optimum=float(predicted[1, column]),
        )
        records.append(record)
    return tuple(records)


def _shares(spec: SwarmSpec, fit: Fit) -> dict[str, ShareRecord]:
    bounds, best = bounds_of(spec.components, spec.limits), fit.best
    return {
        name: ShareRecord(
            natural=bounds.natural[index],
            optimum=float(best.mixture[index]),
            low=float(best.low[index]),
            high=float(best.high[index]),
            floor=bounds.floor[index],
            cap=bounds.cap[index],
        )
        for index, name in enumerate(bounds.names)
    }
