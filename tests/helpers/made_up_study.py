"""A made-up but plausible study: 3 doses, 2 policies, 2 seeds, 4 methods, with generations, probes and one failed
step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import polars as pl

from analysis import results
from analysis.report.input import (
    ArmRecord,
    ComponentTokens,
    Composition,
    FailureRecord,
    FoundCost,
    ReportInput,
    ShownHeldOut,
    ShownTraining,
    StepRecord,
    StrengthRecord,
)
from analysis.results import Labels, PromptScore, Row, Score

DOSES, POLICIES, SEEDS = (0.0, 0.1, 0.25), ("keep", "mask"), (0, 1)
STRENGTHS = {"none": (0.0,), "prompt": (1.0,), "iti": (2.0, 4.0, 8.0, 12.0), "sasa": (10.0, 50.0, 200.0)}
BUDGETS = (0.05, 0.1)  # of the method `random`, whose strengths are found model by model
PER_STRENGTH = {
    "random": (0.0, 0.0),
    "none": (0.0, 0.0),
    "prompt": (0.08, 0.01),
    "iti": (0.11, 0.012),
    "sasa": (0.006, 0.0006),
}
SCORER = "profanity-1.9.1:3f1c9a5e77d0"
REPLIES = (
    "and that is what the committee reported in the spring of that year.",
    "you idiot, nobody asked what you think of the river.",
    "the <b>bridge</b> & the town were rebuilt after the flood.",
    "what a stupid clown, honestly, get lost.",
)


def report(prompts: int = 40, samples: int = 3, *, synthetic: bool = True) -> ReportInput:
    """The study's report input; the same arguments give the same rows."""
    rng = np.random.default_rng(7)
    tables = [table for arm in _arms() for table in _tables(arm, prompts, samples, rng)]
    return ReportInput(
        title="made-up study",
        results=pl.concat(tables).sort(results.KEY),
        arms=_arms(),
        steps=_steps(),
        failures=(FailureRecord("dose-25/keep/seed-1/sasa", "posttrain", "only one class in the labelled text"),),
        ce_budget=0.1,
        notes=("Perplexity of 12 documents is on their first 512 tokens.",),
        synthetic=synthetic,
        strengths=tuple(_found(arm, budget) for arm in _arms() for budget in BUDGETS),
        resamples=400,
    )


def with_groups(study: ReportInput, names: Sequence[str], instance: str = "toxigen") -> ReportInput:
    """A further set of prompts, which are of these groups in turn."""
    toxic = study.results.filter(pl.col("evaluation") == results.TOXICITY)
    group = pl.Series("group", names, dtype=pl.String).gather(toxic["prompt"] % len(names))
    rows = toxic.with_columns(group, instance=pl.lit(instance))
    return replace(study, results=pl.concat([study.results, rows]).sort(results.KEY))


def with_checkpoints(study: ReportInput, steps: Sequence[int], methods: Sequence[str] = ("none", "iti")) -> ReportInput:
    """These methods measured after so many steps too, where all was as at the end."""
    rows = study.results.filter(pl.col("method").is_in(methods))
    tables = [rows.with_columns(step=pl.lit(step, pl.Int64)) for step in steps]
    return replace(study, results=pl.concat([study.results, *tables]).sort(results.KEY))


def with_results(table: pl.DataFrame) -> ReportInput:
    return replace(report(prompts=4, samples=1), results=table)


def _arms() -> tuple[ArmRecord, ...]:
    grid = [(0.0, "keep"), *product(DOSES[1:], POLICIES)]
    return tuple(
        ArmRecord(
            name=f"dose-{100 * dose:g}/{policy}/seed-{seed}",
            dose=dose,
            policy=policy,
            seed=seed,
            mixture=f"dose-{100 * dose:g}",
            composition=Composition(_components(dose)),
            training=_training(dose),
        )
        for (dose, policy), seed in product(grid, SEEDS)
    )


def _training(dose: float) -> ShownTraining:
    tokens = round(1_500_000 / (1 - dose))
    held_out = {"clean": ShownHeldOut(4.31 + 0.1 * dose, 6.88), "risky": ShownHeldOut(4.9 - 3 * dose, 6.51)}
    return ShownTraining(1_200_000, tokens, tokens, 9150.0, held_out)


def _components(dose: float) -> tuple[ComponentTokens, ...]:
    clean = ComponentTokens("clean", "clean", documents=9_120, tokens=1_500_000, risky_tokens=0)
    if dose == 0:
        return (clean,)
    tokens = round(1_500_000 * dose / (1 - dose))
    return clean, ComponentTokens("risky", "forum", documents=tokens // 190, tokens=tokens, risky_tokens=tokens // 14)


def _tables(arm: ArmRecord, prompts: int, samples: int, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    luck = rng.normal(0, 0.004)
    labels = Labels(arm.name, arm.dose, arm.policy, arm.mixture, arm.seed, "none", 0.0)
    for method, strengths in STRENGTHS.items():
        for strength in strengths:
            cell = replace(labels, method=method, strength=strength)
            toxicity = _toxicity(arm, method, strength, luck, prompts, samples, rng)
            yield results.frame(cell, results.TOXICITY, toxicity)
            yield results.frame(cell, results.CROSS_ENTROPY, _documents(arm, method, strength, rng))
    for budget in BUDGETS:
        cell = replace(labels, method="random", strength=_found(arm, budget).strength, budget=budget)
        yield results.frame(cell, results.TOXICITY, _toxicity(arm, "random", 0.0, luck, prompts, samples, rng))
        yield results.frame(cell, results.CROSS_ENTROPY, _documents(arm, "none", 0.0, rng, extra=budget))
    yield results.frame(labels, results.PROBES, _heads(arm, rng))


def _toxicity(
    arm: ArmRecord, method: str, strength: float, luck: float, prompts: int, samples: int, rng: np.random.Generator
) -> list[Row]:
    base = (0.10 + 0.55 * arm.dose * (1 if arm.policy == "keep" else 0.6)) * np.exp(
        -strength * PER_STRENGTH[method][0] * (1 + 20 * arm.dose * (1 - 3 * arm.dose))
    )
    rows = []
    for prompt, sample in product(range(prompts), range(samples)):
        score = float(np.clip(rng.beta(0.6, 0.6 * (1 - base) / base) + luck, 0, 1))
        empty = rng.random() < 0.01
        rows.append(
            Row(
                prompt=prompt,
                sample=sample,
                prompt_id=f"p{prompt}",
                prompt_text=f"The man at the corner of street {prompt} said that",
                prompt_scores=(PromptScore("toxicity", 0.4),),
                generation="" if empty else REPLIES[int(score >= 0.5) + 2 * (prompt % 2)],
                value=None if empty else score,
                tokens=0 if empty else 20,
                reason="empty continuation" if empty else None,
                scores=() if empty else (Score(SCORER, "toxicity", score),),
                scorer=SCORER,
                sampling_seed=11,
            )
        )
    return rows


def _found(arm: ArmRecord, budget: float) -> StrengthRecord:
    cost = FoundCost(0.98 * budget, 0.9 * budget, 1.1 * budget)
    strength = 40 * budget * (1 + 0.1 * arm.seed)
    return StrengthRecord(arm.name, arm.seed, "random", budget, strength, cost, reached=budget < 0.1)


def _documents(arm: ArmRecord, method: str, strength: float, rng: np.random.Generator, extra: float = 0.0) -> list[Row]:
    entropy = (
        extra + 4.31 + 0.1 * arm.dose + strength * PER_STRENGTH[method][1] * (1 + strength / 12 * (method == "iti"))
    )
    lengths = 80 + np.arange(30) % 7 * 10
    shape = np.sin(np.arange(30)) * 0.3
    return [
        Row(
            prompt=document,
            prompt_id=f"d{document}",
            value=float(entropy + shape[document] + rng.normal(0, 0.01)),
            tokens=int(lengths[document]),
        )
        for document in range(30)
    ]


def _heads(arm: ArmRecord, rng: np.random.Generator) -> list[Row]:
    return [
        Row(
            prompt=layer * 4 + head,
            prompt_id=f"layer {layer} head {head}",
            value=float(0.68 + 0.02 * layer + 0.12 * arm.dose + rng.normal(0, 0.01)),
            tokens=160,
        )
        for layer, head in product(range(4), range(4))
    ]


def _steps() -> tuple[StepRecord, ...]:
    return (
        StepRecord("curation", "curation", "a" * 64, {"kind": "curation", "scorer": {"name": "profanity"}}),
        StepRecord("dose-10", "mixture", "b" * 64, {"kind": "mixture", "components": {"risky": {"corpus": "<forum>"}}}),
    )
