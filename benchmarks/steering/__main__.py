"""Time of decoding under every method against plain decoding, and of that against `transformers.generate`.

    python -m benchmarks.steering > benchmarks/results/steering.md     # 12 minutes on two cores
    python -m benchmarks.steering --rehearse                           # does it run at all?

On a CPU the quickstart's shape and one of 57 M parameters, on a GPU that of OLMo-1B. All arms write equally many
tokens, take turns in an order drawn anew for each round, and are compared round by round. Leaves with 1 where an aim
is missed by more than the interval.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import transformers

from benchmarks.steering.arms import ARMS, PEER, TOP_P, Way
from benchmarks.steering.models import nucleus_widths, prompts, random_model
from posttrain.model import CausalModel
from pretrain.runtime.device import device_name

BATCHES = ((1, 32), (16, 16), (256, 8))  # rows, tokens of each
REHEARSED = ((1, 4), (4, 4))
"""Rows and tokens of a batch."""
Clock = Callable[[], float]


def measure(ways: dict[str, Way], rows: int, steps: int, rounds: int, clock: Clock) -> dict[str, np.ndarray]:
    """Seconds of every round by arm; a round before them warms up."""
    texts, order, chance = prompts(rows), list(ways), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        chance.shuffle(order)
        for name in order:
            started = clock()
            written = ways[name](texts, steps)  # ends in Python lists: nothing is left running on the device
            seconds[name].append(clock() - started)
            assert written == rows * steps, f"{name} wrote {written} tokens of {rows * steps}"
    return {name: np.array(turns[1:]) for name, turns in seconds.items()}


def ratio(times: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """Median of the ratios round by round, with a 95 % bootstrap interval."""
    ratios = times / others
    draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


def table(seconds: dict[str, np.ndarray], rows: int, steps: int, largest: bool) -> tuple[list[str], int]:
    """One line for each arm, and how many aims are missed for certain."""
    lines, missed = [], 0
    for name, times in seconds.items():
        arm, tokens = ARMS[name], rows * steps
        start = f"| {rows} | {name} | {np.median(times) / steps * 1e3:,.2f} | {tokens / np.median(times):,.0f} |"
        if name == PEER:
            lines.append(f"{start} | | |")
            continue
        middle, low, high = ratio(times, seconds[arm.against])
        aim = (arm.aim_gpu if torch.cuda.is_available() else arm.aim)[largest]
        missed += low > aim
        verdict = "held" if middle <= aim else "within the interval" if low <= aim else "missed"
        lines.append(f"{start} {middle:.3f} ({low:.3f} – {high:.3f}) of {arm.against} | {aim:.2f} | {verdict} |")
    return lines, missed


def report(shape: str, model: CausalModel, rounds: int, batches: tuple[tuple[int, int], ...], clock: Clock) -> int:
    """Measure one model and print its table; returns how many aims are missed."""
    ways = {name: arm.prepare(model) for name, arm in ARMS.items()}
    parameters = sum(weight.numel() for weight in model.network.parameters())
    print(
        f"\n## {shape}\n\n{parameters:,} random parameters, vocabulary {model.network.config.vocab_size:,}, "
        f"{model.network.dtype}; tokens in the nuclei at top_p {TOP_P}, deciles 1, 5 and 9: "
        f"{nucleus_widths(model, TOP_P)}; {rounds} rounds\n\n"
        "| rows | arm | ms a step | tokens/s | time, of that of (95 % interval) | at most | |\n"
        "|---|---|---|---|---|---|---|"
    )
    missed = 0
    for rows, steps in batches:
        seconds = measure(ways, rows, steps, rounds, clock)
        lines, more = table(seconds, rows, steps, rows == batches[-1][0])
        missed += more
        print("\n".join(lines), flush=True)
    return missed


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shapes = ["1b"] if torch.cuda.is_available() else ["tiny", "60m"]
    parser.add_argument("--shapes", nargs="+", default=shapes)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="for a CPU that others use too")
    parser.add_argument("--rehearse", action="store_true", help="a tiny model, one round")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    print(
        f"# Decoding\n\n`python -m benchmarks.steering`: {device_name()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {clock.__name__}"
    )
    if options.rehearse:
        report("tiny", random_model("tiny"), 1, REHEARSED, clock)
        return 0
    return int(sum(report(shape, random_model(shape), options.rounds, BATCHES, clock) for shape in options.shapes) > 0)


if __name__ == "__main__":
    sys.exit(main())
