"""Frames of a report that come from its records rather than from the results: trainings, mixtures, strengths, costs,
what was left out. Each is kept as `tables/NAME.parquet` and `.csv`.
"""

from __future__ import annotations

from dataclasses import asdict

import polars as pl

from analysis.report.input import ReportInput
from analysis.results import CROSS_ENTROPY, main
from analysis.statistics.panels import NONE

_ARM = ["dose", "policy", "mixture", "seed"]
_CELL = ["dose", "policy", "mixture", "method", "by_budget", "setting"]
_LEFT_OUT = ("unscored", "prompts_cut", "prompts_left_out")


def with_counts(table: pl.DataFrame, arms: pl.DataFrame) -> pl.DataFrame:
    """A table of cells with their `generations` and how many of these are `unscored`, over all seeds, and with
    `strengths`, those of the seeds in order where a budget had them found.
    """
    if table.is_empty():
        return table
    budget = pl.col("budget")
    counted = arms.with_columns(by_budget=budget.is_not_null(), setting=pl.coalesce(budget, "strength"))
    strength = pl.col("strength").sort_by("seed").map_elements(lambda value: f"{value:.3g}", return_dtype=pl.String)
    counts = counted.group_by(_CELL).agg(
        pl.col("generations", "unscored").sum(), strengths=strength.unique(maintain_order=True).str.join(", ")
    )
    keyed = table.with_columns(by_budget=budget.is_not_null(), setting=pl.coalesce(budget, "strength_low"))
    # A method of the curve may do nothing at some dose: there its cell is that of doing nothing.
    done = pl.when(pl.col("strength_high").eq(0) & budget.is_null()).then(pl.lit(NONE)).otherwise("method")
    keyed = keyed.with_columns(done=done).join(
        counts.rename({"method": "done"}),
        on=["done" if key == "method" else key for key in _CELL],
        how="left",
        maintain_order="left",
    )
    return keyed.drop("by_budget", "setting", "done")


def models_frame(report: ReportInput) -> pl.DataFrame:
    """One row a trained model: its size and its tokens."""
    return pl.DataFrame(
        [
            {
                **{name: getattr(arm, name) for name in _ARM},
                "parameters": arm.training.parameters,
                "tokens": arm.training.tokens,
                "loss_tokens": arm.training.loss_tokens,
            }
            for arm in report.arms
        ]
    )


def held_out_frame(report: ReportInput) -> pl.DataFrame:
    """One row a model and a component: `cross_entropy` as training measured it, over `tokens` targets, and as the
    frontier has it for the unsteered model, `measured` over `measured_documents` and `measured_tokens`.
    """
    rows = [
        {
            **{name: getattr(arm, name) for name in _ARM},
            "component": component,
            "tokens": held.tokens,
            "cross_entropy": held.cross_entropy,
            "unigram_cross_entropy": held.unigram_cross_entropy,
        }
        for arm in report.arms
        for component, held in arm.training.held_out.items()
    ]
    if not rows:
        return pl.DataFrame()
    table = pl.DataFrame(rows, schema_overrides={"tokens": pl.Int64, "unigram_cross_entropy": pl.Float64})
    return table.join(_unsteered(report), on=[*_ARM, "component"], how="left", maintain_order="left")


def _unsteered(report: ReportInput) -> pl.DataFrame:
    """The frontier's cross-entropy of every unsteered model, under the component that it was measured on."""
    rows = main(report.results).filter(
        pl.col("evaluation") == CROSS_ENTROPY, pl.col("method") == NONE, pl.col("value").is_not_null()
    )
    tokens = pl.col("tokens")
    measured = rows.group_by(_ARM).agg(
        measured=(pl.col("value") * tokens).sum() / tokens.sum(),
        measured_documents=pl.len(),
        measured_tokens=tokens.sum(),
    )
    return measured.with_columns(component=pl.lit(_component(report)))


def _component(report: ReportInput) -> str:
    """Whose documents the frontier's cross-entropy is measured on, as the analyses were configured."""
    for step in report.steps:
        if (options := step.config.get("evaluations", {}).get(CROSS_ENTROPY)) is not None:
            return str(options.get("component"))
    return "clean"


def mixtures_frame(report: ReportInput) -> pl.DataFrame:
    """One row a mixture and a component, whatever number of arms trained on it."""
    compositions = {arm.mixture: arm.composition for arm in report.arms}
    rows = [
        {"mixture": name, **asdict(component)}
        for name, composition in compositions.items()
        for component in composition.components
    ]
    return pl.DataFrame(rows)


def strengths_frame(report: ReportInput) -> pl.DataFrame:
    """One row a strength that was found for a budget, with what it cost where it was found."""
    rows = [
        {
            "arm": found.arm,
            "seed": found.seed,
            "method": found.method,
            "budget": found.budget,
            "strength": found.strength,
            "cost": found.cost.value,
            "cost_low": found.cost.low,
            "cost_high": found.cost.high,
            "reached": found.reached,
        }
        for found in report.strengths
    ]
    return pl.DataFrame(rows)


def left_out_frame(report: ReportInput) -> pl.DataFrame:
    """One row an analysis some of whose generations have no score, or some of whose prompts were cut or left out."""
    rows = [
        {"step": step.name, **{name: step.counts.get(name, 0) for name in _LEFT_OUT}}
        for step in report.steps
        if any(step.counts.get(name) for name in _LEFT_OUT)
    ]
    return pl.DataFrame(rows)


def costs_frame(report: ReportInput) -> pl.DataFrame:
    """One row a kind of step: how many, their `hours` from start to end added up, and the GPU-hours of trainings."""
    steps = pl.DataFrame(
        [{"kind": step.kind, "seconds": step.seconds} for step in report.steps],
        schema={"kind": pl.String, "seconds": pl.Float64},
    )
    if steps.is_empty():
        return pl.DataFrame()
    trained = sum(arm.training.gpu_hours for arm in report.arms)
    tokens, seconds = (sum(getattr(arm.training, name) or 0 for arm in report.arms) for name in ("tokens", "seconds"))
    is_training = pl.col("kind") == "pretrain"
    return steps.group_by("kind", maintain_order=True).agg(
        steps=pl.len(),
        hours=pl.col("seconds").sum() / 3600,
    ).with_columns(
        gpu_hours=pl.when(is_training).then(pl.lit(trained)),
        tokens_per_second=pl.when(is_training & pl.lit(seconds > 0)).then(pl.lit(tokens / (seconds or 1))),
    )  # fmt: skip


def failures_frame(report: ReportInput) -> pl.DataFrame:
    """One row a step that failed or was skipped."""
    return pl.DataFrame([asdict(failure) for failure in report.failures])
