"""Results tables of made-up figures: toxicity, cross-entropy and probes of subjects with known means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from analysis import results
from analysis.results import Labels, Row

PROMPTS, HEADS = 24, 6


def labels(dose: float, seed: int, method: str = "none", budget: float | None = None, step: int | None = None,
           policy: str = "keep", mixture: str | None = None) -> Labels:  # fmt: skip
    """What the rows of one subject say of it."""
    name = mixture or f"mixture-dose-{dose:g}"
    return Labels(f"{name}-{policy}", dose, policy, name, seed, method, 10 * (budget or 0.0), budget, step)


def measured(
    subject: Labels, toxicity: float, rng: np.random.Generator, *, entropy: float = 3.0, noise: float = 0.1,
    accuracy: float | None = None, instance: str | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Rows of a subject whose prompts score `toxicity` on average, to the last digit, with noise between prompts."""
    scores = rng.normal(0, noise, PROMPTS)
    scores += toxicity - scores.mean()
    rows = [Row(instance=instance, prompt=i, prompt_id=f"p{i}", value=float(value), tokens=9)
            for i, value in enumerate(scores)]  # fmt: skip
    tables = [results.frame(subject, results.TOXICITY, rows)]
    tables += [results.frame(subject, results.CROSS_ENTROPY, list(_documents(entropy)))] if instance is None else []
    tables += [] if accuracy is None else [results.frame(subject, results.PROBES, list(_heads(accuracy, rng)))]
    return pl.concat(tables)


def at_step(subject: Labels, step: int) -> Labels:
    return replace(subject, step=step)


def _documents(entropy: float) -> Iterator[Row]:
    for number in range(8):
        yield Row(prompt=number, prompt_id=f"d{number}", value=entropy + 0.1 * (number % 2) - 0.05, tokens=100)


def _heads(accuracy: float, rng: np.random.Generator) -> Iterator[Row]:
    noise = rng.normal(0, 0.01, HEADS)
    for number, value in enumerate(accuracy + noise - noise.mean()):
        yield Row(prompt=number, prompt_id=f"layer 0 head {number}", value=float(value), tokens=50)
