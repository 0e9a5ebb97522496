"""How well response models rank mixtures: RegMix's 1M-parameter proxies, fitted on 512 and on 54 random runs.

    python -m benchmarks.swarm.regmix [--draws 10] [--workers 2] > benchmarks/results/regmix.md

Mean Spearman over the 13 losses on 256 runs that no model was fitted on; `chosen` takes for every loss the response
with the smaller cross-validated error. Gates: 0.97 on 512 runs, 0.92 on 54 (mean of the draws); exit code 1 below.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path

import numpy as np

from infra.config.spec import load_spec
from mixtures.swarm.fitting.choose import choose, cross_validate, spearman
from mixtures.swarm.fitting.fit import ProxyRuns, read_inputs
from mixtures.swarm.responses import RESPONSES
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.spec import SwarmSpec

ROOT = Path(__file__).parents[2]
GATES = {512: 0.97, 54: 0.92}
Ranks = dict[str, Array]


def measure(inputs: ProxyRuns, rows: Array, workers: int) -> tuple[Ranks, dict[str, float], list[str]]:
    """Rank correlations [t] of each response and of the chosen ones, seconds of each fit, and which were chosen."""
    runs, check = inputs.runs, inputs.check
    assert check is not None
    mixtures, results = runs.mixtures[rows], runs.results[rows]
    ranks: Ranks = {}
    seconds: dict[str, float] = {}
    validations = []
    for name in ("log_linear", "trees"):
        begin = time.process_time()
        fitted = RESPONSES.get(name).fit(mixtures, results, np.ones((1, len(rows))), 0)
        seconds[name] = time.process_time() - begin
        ranks[name] = spearman(fitted.predict(check.mixtures)[0].T, check.results)
        validations.append(cross_validate(mixtures, results, name, 5, 0, workers))
    chosen = choose(validations)
    ranks["chosen"] = np.array([ranks[name][column] for column, name in enumerate(chosen)])
    return ranks, seconds, chosen


def main() -> None:
    """Print the table; leave with 1 if a gate is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    _, spec = load_spec(ROOT / "examples/swarm-regmix.yaml", {"swarm": lambda: SwarmSpec}, [])
    inputs = read_inputs(spec)
    total = len(inputs.runs.index)
    whole, seconds, chosen = measure(inputs, np.arange(total), options.workers)
    draws = [np.random.default_rng(seed).choice(total, 54, replace=False) for seed in range(options.draws)]
    few = [measure(inputs, rows, options.workers)[0] for rows in draws]
    print("# RegMix: predicted against measured losses of 256 mixtures, Spearman\n")
    command = f"python -m benchmarks.swarm.regmix --draws {options.draws}"
    print(f"`{command}`; {platform.machine()}, Python {platform.python_version()}")
    print("\n| fitted on | log_linear | trees | chosen by cross-validation | gate |\n|---|---:|---:|---:|---:|")
    print(f"| 512 runs | {' | '.join(f'{whole[name].mean():.4f}' for name in whole)} | {GATES[512]} |")
    means = {name: np.array([draw[name].mean() for draw in few]) for name in whole}
    cells = " | ".join(f"{values.mean():.4f} ({values.min():.4f}–{values.max():.4f})" for values in means.values())
    print(f"| 54 random runs, mean of {options.draws} draws (range) | {cells} | {GATES[54]} |")
    times = ", ".join(f"{name} {value:.2f}" for name, value in seconds.items())
    print(f"\nCPU seconds of one fit of all 13 losses to 512 runs: {times}.\n")
    print("| loss (512 runs) | log_linear | trees | chosen |\n|---|---:|---:|---|")
    for column, target in enumerate(inputs.runs.targets):
        print(f"| {target} | {whole['log_linear'][column]:.4f} | {whole['trees'][column]:.4f} | {chosen[column]} |")
    if whole["chosen"].mean() < GATES[512] or means["chosen"].mean() < GATES[54]:
        sys.exit(1)


if __name__ == "__main__":
    main()
