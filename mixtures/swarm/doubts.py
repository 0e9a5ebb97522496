"""What a reader of a swarm should know of its runs, and of the optimum that they gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mixtures.swarm.fitting.fit import ProxyRuns
from mixtures.swarm.solving.optimum import Optimum

_ALIKE = 1e-9  # relative: results that differ by less, shares that differ by less, are the same
_PRINTED = 5e-4  # shares that are nearer to each other print alike


def few_runs(runs: int, components: int) -> Iterator[str]:
    """A sentence where the runs are few."""
    if runs < (good := 3 * (components + 1)):
        yield f"{runs} runs are few for {components} components; {good} are a good number"


def doubts_of_runs(inputs: ProxyRuns) -> Iterator[str]:
    """Runs that are far off, few runs, targets and components that tell nothing."""
    runs = inputs.runs
    yield from map(str, inputs.outliers)
    yield from few_runs(len(runs.index), len(runs.components))
    for name, values in zip(runs.targets, runs.results.T, strict=True):
        if np.ptp(values) <= _ALIKE * np.abs(values).max():
            yield f"{name}: all runs have the same value, {values[0]:.4g}; it tells nothing of mixtures"
    still = [name for name, shares in zip(runs.components, runs.mixtures.T, strict=True) if np.ptp(shares) <= _ALIKE]
    if still:
        yield f"{_listed(still)}: the same share in all runs; nothing tells what another one does"


def doubts_of_optimum(inputs: ProxyRuns, best: Optimum) -> Iterator[str]:
    """Shares that no run had, no gain to speak of."""
    runs = inputs.runs
    for name, share, seen in zip(runs.components, best.mixture, runs.mixtures.max(0), strict=True):
        if share > seen + _PRINTED:
            yield f"{name}: the optimum has {share:.1%}, and no run had more than {seen:.1%}: extrapolated"
    if best.gain.low <= _ALIKE * abs(best.natural.value):
        yield "the data do not tell whether the optimum is better than the natural mixture"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
