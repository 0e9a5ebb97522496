"""What a swarm will do: the limits of every share, and how many fits; the CSV files are read and checked whole."""

from __future__ import annotations

from infra.render.page import Plan, Table
from mixtures.swarm.bounds import bounds_of
from mixtures.swarm.doubts import doubts_of_runs, few_runs
from mixtures.swarm.fitting.fit import read_inputs
from mixtures.swarm.spec import SwarmSpec


def plan_swarm(spec: SwarmSpec) -> Plan:
    """Limits and work. Raises ConfigError with every problem of the CSV files."""
    bounds = bounds_of(spec.components, spec.limits)
    rows = tuple(zip(bounds.names, bounds.natural, bounds.floor, bounds.cap, strict=True))
    limits = Table("shares", ("component", "natural", "floor", "cap"), rows)
    work, notes = _design(spec) if spec.sample is not None else _fit(spec)
    return Plan(f"swarm {spec.name}: {len(rows)} components", (limits, work), notes)


def _design(spec: SwarmSpec) -> tuple[Table, tuple[str, ...]]:
    assert spec.sample is not None
    low, high = spec.sample.strengths
    rows = (
        ("mixtures to train", spec.sample.runs),
        ("Dirichlet strengths", f"{low:g} to {high:g}, {spec.sample.levels} log-spaced"),
    )
    return Table("design", ("what", "value"), rows), tuple(few_runs(spec.sample.runs, len(spec.components)))


def _fit(spec: SwarmSpec) -> tuple[Table, tuple[str, ...]]:
    inputs = read_inputs(spec)
    runs, check = inputs.runs, inputs.check
    optimised = [target for target in inputs.asked if target.weight > 0]
    models, replicates = len(spec.fit.responses), spec.optimum.replicates
    rows = (
        ("runs to fit", len(runs.index)),
        ("runs to check on", len(check.index) if check else 0),
        ("targets", len(runs.targets)),
        ("targets that are optimised", len(optimised)),
        ("fits in cross-validation", models * spec.fit.folds * len(runs.targets)),
        ("fits in the bootstrap", replicates * len(optimised)),
    )
    return Table("work", ("what", "value"), rows), tuple(doubts_of_runs(inputs))
