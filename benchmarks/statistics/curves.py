"""Do the bands of fitted curves hold the truth? Simulated studies of known dose-response through `fit_curves`.

    OMP_NUM_THREADS=1 nice python -m benchmarks.statistics.curves [--studies 600]

Writes `benchmarks/results/curves.md`. After steering the truth is a smile, which the smooth fit flattens a little;
unsteered it rises. **covers** is how often the 95 % band holds the truth at a measured dose, the mean over doses;
**lowest** that at the worst of them; **bias** the largest mean error of the fit at a dose; **width** the band's half
over 1.96 standard deviations of the fit's error, which is what a band that knows the noise would have.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np

from analysis.statistics.curves import Curve, fit_curves
from analysis.statistics.dose_response import dose_response
from analysis.statistics.frontier import Allowance
from analysis.statistics.intervals import Array
from analysis.statistics.panels import NONE
from benchmarks.safety.kills import machine
from infra.atomic import write_text
from tests.helpers.dose_studies import DOSES, Noise, dose_study, smile, unsteered

RESULT = Path(__file__).parents[1] / "results" / "curves.md"
FEW = (0.0, 0.1, 0.25)
RESAMPLES = 200


def run(doses: tuple[float, ...], seeds: int, studies: int) -> dict[str, Array]:
    """By method the errors of the fit, and the ends of the band as errors [studies, 3, doses]."""
    rng, rows = np.random.default_rng(7), dict[str, list[Array]]()
    for study in range(studies):
        panels = dose_study(smile, Noise(seeds=seeds), rng, doses)
        points = dose_response(panels, Allowance(0.1), resamples=20, seed=study)
        for curve in fit_curves(points, panels, resamples=RESAMPLES, seed=study):
            rows.setdefault(curve.method, []).append(_errors(curve))
    return {method: np.array(errors) for method, errors in rows.items()}


def _errors(curve: Curve) -> Array:
    truth = [unsteered(dose) if curve.method == NONE else smile(dose) for dose in curve.points]
    ends = [np.interp(curve.points, curve.doses, line) for line in (curve.fit, curve.low, curve.high)]
    return np.array(ends) - truth


def line(doses: tuple[float, ...], seeds: int, method: str, errors: Array) -> str:
    """A row of the table."""
    fit, low, high = errors.transpose(1, 0, 2)
    covers = ((low <= 0) & (high >= 0)).mean(0)
    width = ((high - low) / 2).mean(0) / (1.96 * fit.std(0))
    shape = "rising, unsteered" if method == NONE else "smooth, steered"
    bias = fit.mean(0)[np.abs(fit.mean(0)).argmax()]
    covered = f"{covers.mean():.1%} | {covers.min():.1%}"
    return f"| {len(doses)} | {seeds} | {shape} | {covered} | {bias:+.4f} | {width.mean():.2f} |"


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=600)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    lines = [
        "# Bands of fitted curves on simulated studies\n",
        f"`python -m benchmarks.statistics.curves --studies {options.studies}`; {machine()}, one of them used;"
        f" {RESAMPLES} resamples a study. What the columns are stands in `benchmarks/statistics/curves.py`.\n",
        "| doses | seeds | curve | covers | lowest | bias | width |",
        "|---:|---:|---|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for doses, seeds in product((FEW, DOSES), (2, 3, 5)):
        rows = [line(doses, seeds, *item) for item in run(doses, seeds, options.studies).items()]
        print("\n".join(rows), flush=True)
        lines += rows
    write_text(options.out, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
