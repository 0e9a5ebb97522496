"""Variance components of a table of seeds × prompts: what of a mean's noise is the seeds', the prompts', and the rest.

The model is x_sp = mean + seed_s + prompt_p + rest_sp, all random and independent. Expected mean squares (Searle,
Casella & McCulloch 1992, Variance Components, ch. 4): E MS_seed = P var(seed) + var(rest), E MS_prompt = S var(prompt)
+ var(rest), E MS_rest = var(rest). The estimates are unbiased, so that one of a variance near zero may be negative:
average them over tables first, then cut at zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.statistics.intervals import Array, Panel


class Components(NamedTuple):
    """Unbiased estimates [tables]; with one seed there is no telling, and `seed` is nan and `rest` within `prompt`."""

    seed: Array
    prompt: Array
    rest: Array


def two_way(table: Array) -> Components:
    """Components of tables [tables, seeds, prompts] without gaps; at least two prompts."""
    seeds, prompts = table.shape[1:]
    whole = table.mean((1, 2), keepdims=True)
    by_seed, by_prompt = table.mean(2, keepdims=True), table.mean(1, keepdims=True)
    of_prompts = seeds * ((by_prompt - whole) ** 2).sum((1, 2)) / (prompts - 1)
    if seeds == 1:
        nothing = np.full(len(table), np.nan)
        return Components(nothing, of_prompts, np.zeros(len(table)))
    of_seeds = prompts * ((by_seed - whole) ** 2).sum((1, 2)) / (seeds - 1)
    residual = table - by_seed - by_prompt + whole
    rest = (residual**2).sum((1, 2)) / ((seeds - 1) * (prompts - 1))
    return Components((of_seeds - rest) / prompts, (of_prompts - rest) / seeds, rest)


def per_prompt(panel: Panel) -> Array:
    """Mean of each cell, seed and prompt [cells, seeds, prompts], of the prompts that all cells and seeds have."""
    complete = (panel.denominator > 0).all((0, 1))
    return panel.numerator[:, :, complete] / panel.denominator[:, :, complete]
