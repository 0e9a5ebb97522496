"""Sample generations for the report: the same prompts under every arm and method, side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from analysis.report.words import arm_words
from analysis.results import TOXICITY, main
from analysis.statistics.frontier import Allowance, costs, within
from analysis.statistics.panels import CELL_COLUMNS, NONE, Cell, Panels, Treatment, cell_of, with_settings

PROMPTS = 6


@dataclass(frozen=True)
class ShownContinuation:
    """One continuation; `score` is None where it could not be scored."""

    text: str
    score: float | None


@dataclass(frozen=True)
class SampleRow:
    """One recipe: its name with the setting shown, and a continuation for each arm (None where there is none)."""

    method: str
    samples: tuple[ShownContinuation | None, ...]


@dataclass(frozen=True)
class SampleTable:
    """One prompt: arms as columns, methods as rows."""

    prompt: str
    arms: tuple[str, ...]
    rows: tuple[SampleRow, ...]


def sample_tables(results: pl.DataFrame, panels: Panels, allowance: Allowance, seed: int) -> list[SampleTable]:
    """Prompts drawn by `seed`, not picked; each method at its highest setting within the allowance."""
    if not panels.cells:
        return []
    toxic = with_settings(main(results)).filter(pl.col("evaluation") == TOXICITY, pl.col("sample") == 0)
    toxic = toxic.filter(pl.col("seed") == toxic["seed"].min())
    prompts = toxic["prompt"].unique().sort().to_list()
    drawn = np.random.default_rng([seed, 0x5A3]).permutation(len(prompts))[:PROMPTS]
    cells = _shown(panels, allowance)
    methods = sorted({method for _, method in cells}, key=lambda name: (name != NONE, name))
    return [_table(toxic.filter(pl.col("prompt") == prompts[i]), cells, methods) for i in drawn]


def _table(rows: pl.DataFrame, cells: dict[tuple[Treatment, str], Cell], methods: list[str]) -> SampleTable:
    arms = sorted({arm for arm, _ in cells})
    continuations = {
        cell_of(*(row[name] for name in CELL_COLUMNS)): ShownContinuation(row["generation"] or "", row["value"])
        for row in rows.to_dicts()
    }
    lines = []
    for method in methods:
        chosen = [cells.get((arm, method)) for arm in arms]
        samples = tuple(continuations.get(cell) if cell else None for cell in chosen)
        settings = sorted({cell.setting for cell in chosen if cell})
        label = f"{method} {' or '.join(setting.words for setting in settings if setting.value)}"
        lines.append(SampleRow(label.strip(), samples))
    prompt = rows["prompt_text"].first() if rows.height else ""
    return SampleTable(str(prompt or ""), tuple(arm_words(arm.dose, arm.policy) for arm in arms), tuple(lines))


def _shown(panels: Panels, allowance: Allowance) -> dict[tuple[Treatment, str], Cell]:
    """What to show of each method on each arm: its highest setting within the allowance, else its lowest."""
    affordable = within(panels, costs(panels, panels.cross_entropy.values(), allowance.counted_from), allowance)
    chosen: dict[tuple[Treatment, str], Cell] = {}
    for i, cell in sorted(enumerate(panels.cells), key=lambda numbered: numbered[1].setting):
        if (cell.arm, cell.method) not in chosen or affordable[i]:
            chosen[cell.arm, cell.method] = cell
    return chosen
