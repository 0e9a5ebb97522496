"""Sample generations for the report: the same prompts under every arm and method, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.report.plots import methods_of
from analysis.report.tables import arm_words
from analysis.results import TOXICITY
from analysis.statistics.panels import NONE, Cell, Treatment

PROMPTS = 6


@dataclass(frozen=True)
class ShownContinuation:
    """One continuation; `score` is None where it could not be scored."""

    text: str
    score: float | None


@dataclass(frozen=True)
class SampleRow:
    """One method: its name with the strength shown, and a continuation for each arm (None where there is none)."""

    method: str
    samples: tuple[ShownContinuation | None, ...]


@dataclass(frozen=True)
class SampleTable:
    """One prompt: arms as columns, methods as rows."""

    prompt: str
    arms: tuple[str, ...]
    rows: tuple[SampleRow, ...]


def sample_tables(results: pl.DataFrame, frontier: pl.DataFrame, budget: float, seed: int) -> list[SampleTable]:
    """Prompts drawn by `seed`, not picked; each method at its highest measured strength within the budget."""
    if frontier.is_empty():
        return []
    toxic = results.filter(pl.col("evaluation") == TOXICITY, pl.col("sample") == 0)
    toxic = toxic.filter(pl.col("seed") == toxic["seed"].min())
    prompts = toxic["prompt"].unique().sort().to_list()
    drawn = np.random.default_rng([seed, 0x5A3]).permutation(len(prompts))[:PROMPTS]
    cells = _shown(frontier, budget)
    return [_table(toxic.filter(pl.col("prompt") == prompts[i]), cells, methods_of(frontier)) for i in drawn]


def _table(rows: pl.DataFrame, cells: dict[tuple[Treatment, str], Cell], methods: list[str]) -> SampleTable:
    arms = sorted({arm for arm, _ in cells})
    continuations = {
        Cell(Treatment(row["dose"], row["policy"], row["mixture"]), row["method"], row["strength"]): ShownContinuation(
            row["generation"] or "", row["value"]
        )
        for row in rows.to_dicts()
    }
    lines = []
    for method in methods:
        chosen = [cells.get((arm, method)) for arm in arms]
        samples = tuple(continuations.get(cell) if cell else None for cell in chosen)
        strengths = sorted({f"{cell.strength:g}" for cell in chosen if cell}, key=float)
        label = method if method == NONE else f"{method} {'/'.join(strengths)}"
        lines.append(SampleRow(label, samples))
    prompt = rows["prompt_text"].first() if rows.height else ""
    return SampleTable(str(prompt or ""), tuple(arm_words(arm.dose, arm.policy) for arm in arms), tuple(lines))


def _shown(frontier: pl.DataFrame, budget: float) -> dict[tuple[Treatment, str], Cell]:
    """The strength to show of each method on each arm: the highest within the budget, else the lowest."""
    chosen: dict[tuple[Treatment, str], Cell] = {}
    for row in frontier.sort("strength").to_dicts():
        arm = Treatment(row["dose"], row["policy"], row["mixture"])
        affordable = row["cost"] is not None and row["cost"] <= budget
        if (arm, row["method"]) not in chosen or affordable:
            chosen[arm, row["method"]] = Cell(arm, row["method"], row["strength"])
    return chosen
