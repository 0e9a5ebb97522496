"""The report's tables as a person reads them: for the terminal, and for the page from the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analysis.report.input import ArmRecord, ReportInput
from infra.render.page import Table

Frames = Mapping[str, pl.DataFrame]


def result_tables(frames: Frames) -> list[Table]:
    """Dose-response, frontier, arms and probes, from the frames `dose_response`, `frontier`, `arms` and `probes`."""
    builders = {"dose_response": _dose_response, "frontier": _frontier, "probes": _probes, "arms": _arms}
    return [build(frames[name]) for name, build in builders.items() if name in frames and frames[name].height]


def training_table(arms: Sequence[ArmRecord]) -> Table:
    """One row an arm: tokens, speed, held-out cross-entropy of each component beside the unigram entropy."""
    components = sorted({name for arm in arms for name in arm.held_out})
    facts = [
        key
        for key in ("parameters", "tokens", "loss_tokens", "tokens_per_second")
        if any(key in a.pretrain for a in arms)
    ]
    columns = ["arm", "seed", *(key.replace("_", " ") for key in facts)]
    columns += [text for name in components for text in (f"{name}: held-out CE", f"{name}: unigram entropy")]
    rows = [
        (arm_words(arm.dose, arm.policy), arm.seed, *_facts(arm, facts), *_held_out(arm, components)) for arm in arms
    ]
    return Table("Training", tuple(columns), tuple(rows))


def mixture_tables(arms: Sequence[ArmRecord]) -> list[Table]:
    """The composition of each mixture, once, whatever number of arms trained on it."""
    rows = []
    for name, mixture in {_mixture_name(arm): arm.mixture for arm in arms if arm.mixture}.items():
        rows += [(name, *_component(component)) for component in _components(mixture)]
    columns = ("mixture", "component", "corpus", "documents", "tokens", "risky tokens")
    return [Table("Mixtures", columns, tuple(rows))] if rows else []


def failure_table(report: ReportInput) -> list[Table]:
    """Steps that failed or were skipped, with the reason."""
    rows = tuple((each.step, each.kind, each.message) for each in report.failures)
    return [Table("Failed and skipped steps", ("step", "kind", "why"), rows)] if rows else []


def arm_words(dose: float, policy: str) -> str:
    """An arm in two words."""
    return "clean" if dose == 0 else f"{100 * dose:g} % {policy}"


def interval(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """`value [low, high]`, or nothing where there is no value."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return ""
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def number(value: float, digits: int = 3) -> str:
    """Fixed digits and a true minus."""
    return f"{value:.{digits}f}".replace("-", "−")


def _dose_response(table: pl.DataFrame) -> Table:
    rows = [
        (
            row["method"],
            row["policy"],
            f"{100 * row['dose']:g} %",
            f"{row['strength']:.3g}",
            interval(row, "toxicity") + ("" if row["feasible"] else " (beyond the budget)"),
        )
        for row in table.to_dicts()
    ]
    title = "Dose–response: mean toxicity at the cross-entropy budget, with 95 % intervals"
    return Table(title, ("method", "policy", "dose", "strength", "toxicity"), tuple(rows))


def _frontier(table: pl.DataFrame) -> Table:
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["method"],
            f"{row['strength']:g}",
            interval(row, "toxicity"),
            interval(row, "toxic_share"),
            interval(row, "expected_maximum"),
            interval(row, "cross_entropy", 2),
            interval(row, "cost"),
            "●" if row["on_frontier"] else "",
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "method", "strength", "mean toxicity", "P(≥ 0.5)", "expected maximum", "cross-entropy", "cost")
    return Table("All seeds together, with 95 % intervals", (*columns, "frontier"), tuple(rows))


def _arms(table: pl.DataFrame) -> Table:
    figures = ("toxicity", "toxic_share", "expected_maximum", "cross_entropy")
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["seed"],
            row["method"],
            f"{row['strength']:g}",
            *("" if row[name] is None else number(row[name]) for name in figures),
            row["generations"],
            row["unscored"],
        )
        for row in table.to_dicts()
    ]
    names = ("mean toxicity", "P(≥ 0.5)", "expected maximum", "cross-entropy", "generations", "unscored")
    return Table("Every arm and seed", ("arm", "seed", "method", "strength", *names), tuple(rows))


def _probes(table: pl.DataFrame) -> Table:
    against = "above_clean" in table.columns
    rows = [
        (
            arm_words(row["dose"], row["policy"]),
            row["heads"],
            interval(row, "accuracy"),
            interval(row, "above_clean") if against and row["dose"] > 0 else "",
            row["top_heads"],
        )
        for row in table.to_dicts()
    ]
    columns = ("arm", "heads", "mean accuracy", "above clean", "best heads")
    return Table("Linear probes of every attention head", columns, tuple(rows))


def _facts(arm: ArmRecord, names: Sequence[str]) -> list[object]:
    values = [arm.pretrain.get(name) for name in names]
    return [round(value) if isinstance(value, float) else value for value in values]


def _held_out(arm: ArmRecord, components: Sequence[str]) -> list[str]:
    cells = []
    for name in components:
        held = arm.held_out.get(name)
        cells.append("" if held is None else number(held.cross_entropy, 2))
        cells.append("" if held is None or held.unigram_entropy is None else number(held.unigram_entropy, 2))
    return cells


def _mixture_name(arm: ArmRecord) -> str:
    return str(arm.mixture.get("name") or f"dose {100 * arm.dose:g} %")


def _components(mixture: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The manifest's components, whether it lists them or names them."""
    found = mixture.get("components", [])
    return [{"name": name, **value} for name, value in found.items()] if isinstance(found, Mapping) else list(found)


def _component(component: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(component.get(key) for key in ("name", "corpus", "documents", "tokens", "risky_tokens"))
