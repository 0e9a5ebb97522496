"""How often the interval of the optimum holds the true one: simulated swarms of known log-linear laws.

    python -m benchmarks.swarm.coverage [--swarms 400] > benchmarks/results/swarm_coverage.md

Each swarm draws a law, a design (by `sample:`) and noise, then fits, solves and bootstraps; the truth is the true law's
value at its own best mixture, under the same caps and penalty. Aim: 90–98 % at nominal 95 %; exit code 1 outside.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

from mixtures.swarm.bounds import Bounds
from mixtures.swarm.design import sample_mixtures
from mixtures.swarm.solving.convex import Exponentials, solve_exponentials
from mixtures.swarm.solving.optimum import Proxies, find_optimum
from mixtures.swarm.spec import SampleSpec

TARGETS = 3
REPLICATES = 200


@dataclass(frozen=True)
class Setting:
    """Components, runs, noise in standard deviations of the target over runs, price of leaving natural proportions."""

    components: int
    runs: int
    noise: float
    penalty: float


SETTINGS = (
    Setting(4, 32, 0.1, 0.05),
    Setting(4, 64, 0.3, 0.0),
    Setting(8, 54, 0.1, 0.05),
    Setting(8, 128, 0.1, 0.0),
    Setting(17, 128, 0.1, 0.05),
)


def simulate(setting: Setting, seed: int) -> tuple[bool, bool, float, float]:
    """Whether the interval lies above or below the truth, its width, and the error of the estimate."""
    rng = np.random.default_rng([seed, setting.components])
    natural = rng.dirichlet(np.full(setting.components, 2.0)) * 0.9 + 0.1 / setting.components
    floor, cap = np.zeros(setting.components), np.minimum(1.0, 4 * natural)
    slopes = rng.normal(0.3, 0.6, (TARGETS, setting.components))
    needed = rng.permutation(setting.components)[:TARGETS]
    slopes[np.arange(TARGETS), needed] -= 1.5  # each target has a component that it needs
    bounds = Bounds(tuple(map(str, range(setting.components))), *(tuple(shares) for shares in (natural, floor, cap)))
    mixtures = sample_mixtures(SampleSpec(runs=setting.runs, temperature=0.5), bounds, seed)
    truth = 1 + np.exp(mixtures @ slopes.T)
    results = truth + setting.noise * truth.std(0) * rng.standard_normal(truth.shape)
    weights = np.full(TARGETS, 1 / TARGETS)
    exact = Exponentials(slopes[None], weights, natural, floor, cap, setting.penalty)
    value = 1 + exact.terms(solve_exponentials(exact)).sum()
    limits = (natural, floor, cap, setting.penalty)
    problem = Proxies(mixtures, results, ("log_linear",) * TARGETS, weights, *limits)
    optimum = find_optimum(problem, REPLICATES, 0.95, seed).value
    return optimum.low > value, optimum.high < value, optimum.high - optimum.low, optimum.value - value


def main() -> None:
    """Print a row a setting; leave with 1 if a coverage is outside the aim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swarms", type=int, default=400)
    swarms = parser.parse_args().swarms
    outside = False
    print("# Coverage of the optimum's interval at nominal 95 %\n")
    print(f"`python -m benchmarks.swarm.coverage --swarms {swarms}`; {TARGETS} targets, {REPLICATES} replicates.\n")
    print("| components | runs | noise | penalty | coverage | interval above | below | width | bias | CPU s a swarm |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for setting in SETTINGS:
        begin = time.process_time()
        rows = np.asarray([simulate(setting, seed) for seed in range(swarms)], float)
        above, below, width, bias = rows.mean(0)
        coverage = 1 - above - below
        outside = outside or not 0.90 <= coverage <= 0.98
        named = f"{setting.components} | {setting.runs} | {setting.noise:g} | {setting.penalty:g}"
        spent = (time.process_time() - begin) / swarms
        figures = f"{coverage:.1%} | {above:.1%} | {below:.1%} | {width:.4f} | {bias:+.4f} | {spent:.2f}"
        print(f"| {named} | {figures} |", flush=True)
    sys.exit(int(outside))


if __name__ == "__main__":
    main()
