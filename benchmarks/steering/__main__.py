"""Time of decoding under every method against plain decoding, and of that against `transformers.generate`.

    python -m benchmarks.steering > benchmarks/results/decoding.md     # 12 minutes on two cores
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
from pretrain.runtime.device import device_name

Batches = tuple[tuple[int, int, int], ...]
"""Rows, tokens of each, rounds; the last is the largest."""
BATCHES: dict[str, Batches] = {
    "tiny": ((1, 20, 15), (16, 20, 9), (256, 20, 5)),
    "60m": ((1, 20, 9), (16, 20, 5), (256, 8, 3)),
    "1b": ((1, 64, 7), (16, 64, 7), (256, 32, 7)),
}
REHEARSED: Batches = ((1, 4, 1), (4, 4, 1))
Clock = Callable[[], float]


def measure(ways: dict[str, Way], rows: int, steps: int, rounds: int, clock: Clock) -> dict[str, np.ndarray]:
    """Seconds of every round by arm; two tokens of each arm warm up."""
    texts, order, chance = prompts(rows), list(ways), random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(texts, 2)
    for _ in range(rounds):
        chance.shuffle(order)
        for name in order:
            started = clock()
            written = ways[name](texts, steps)  # ends in Python lists: nothing is left running on the device
            seconds[name].append(clock() - started)
            assert written == rows * steps, f"{name} wrote {written} tokens of {rows * steps}"
    return {name: np.array(turns) for name, turns in seconds.items()}


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
        middle, rate = np.median(times), tokens / np.median(times)
        start = f"| {rows} × {steps} | {len(times)} | {name} | {middle / steps * 1e3:,.2f} | {rate:,.0f} |"
        if name == PEER:
            lines.append(f"{start} | | |")
            continue
        share, low, high = ratio(times, seconds[arm.against])
        aim = (arm.aim_gpu if torch.cuda.is_available() else arm.aim)[largest]
        missed += low > aim
        verdict = "held" if share <= aim else "within the interval" if low <= aim else "missed"
        lines.append(f"{start} {share:.3f} ({low:.3f} – {high:.3f}) of {arm.against} | {aim:.2f} | {verdict} |")
    return lines, missed


def report(shape: str, batches: Batches, clock: Clock) -> int:
    """Measure one model and print its table; returns how many aims are missed."""
    model = random_model(shape)
    ways = {name: arm.prepare(model) for name, arm in ARMS.items()}
    parameters = sum(weight.numel() for weight in model.network.parameters())
    print(
        f"\n## {shape}\n\n{parameters:,} random parameters, vocabulary {model.network.config.vocab_size:,}, "
        f"{model.network.dtype}; tokens in the nuclei at top_p {TOP_P}, deciles 1, 5 and 9: "
        f"{nucleus_widths(model, TOP_P)}\n\n"
        "| rows × tokens | rounds | arm | ms a step | tokens/s | time, of that of (95 % interval) | at most | |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    missed = 0
    for rows, steps, rounds in batches:
        seconds = measure(ways, rows, steps, rounds, clock)
        lines, more = table(seconds, rows, steps, rows == batches[-1][0])
        missed += more
        print("\n".join(lines), flush=True)
    return missed


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shapes = ["1b"] if torch.cuda.is_available() else ["tiny", "60m"]
    parser.add_argument("--shapes", nargs="+", choices=BATCHES, default=shapes)
    parser.add_argument("--processor-time", action="store_true", help="for a CPU that others use too")
    parser.add_argument("--rehearse", action="store_true", help="a tiny model, one round")
    options = parser.parse_args()
    clock = time.process_time if options.processor_time else time.perf_counter
    print(
        f"# Decoding\n\n`python -m benchmarks.steering`: {device_name()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}, {clock.__name__}"
    )
    runs = {"tiny": REHEARSED} if options.rehearse else {shape: BATCHES[shape] for shape in options.shapes}
    missed = sum(report(shape, batches, clock) for shape, batches in runs.items())
    return int(missed > 0 and not options.rehearse)


if __name__ == "__main__":
    sys.exit(main())
