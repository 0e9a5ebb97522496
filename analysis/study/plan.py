"""What a study will do and cost: its grid, its distinct steps, its training tokens, all from the file alone."""

from __future__ import annotations

from collections import Counter

from analysis.study.spec import StudySpec
from analysis.study.steps import arms_of, mixture_at, steps_of, strengths_of
from infra.stage import Plan, Table
from mixtures.amounts import resolve


def plan_study(study: StudySpec) -> Plan:
    """Tables of arms and steps; amounts given as `tokens: all` are known only after curation and are left out."""
    arms, steps = arms_of(study), steps_of(study)
    kinds = Counter(step.kind for step in steps)
    grid = Table("distinct steps", ("kind", "steps"), tuple(kinds.items()))
    rows = tuple(_row(study, dose, sum(arm.dose == dose for arm in arms)) for dose in study.doses)
    tokens = [row[-1] for row in rows]
    notes = [f"{len(strengths_of(study))} (method, strength) pairs per model"]
    if all(isinstance(value, int) for value in tokens):
        total = sum(value for value in tokens if isinstance(value, int))
        notes.append(f"{total:,} training tokens in all")
    doses = Table("arms", ("dose", "models", "clean and other tokens", "risky tokens", "training tokens"), rows)
    return Plan(f"study {study.name}: {len(arms)} models", (doses, grid), tuple(notes))


def _row(study: StudySpec, dose: float, models: int) -> tuple[object, ...]:
    """Tokens of one dose, where the file alone says them."""
    mixture = mixture_at(study, dose)
    amounts = {name: each.amount for name, each in mixture.components.items()}
    if any(amount.everything for amount in amounts.values()):
        return dose, models, "known after curation", "", ""
    wanted = resolve(amounts, dict.fromkeys(amounts, 0))
    risky, total = wanted[study.dose_of], sum(wanted.values())
    return dose, models, total - risky, risky, total * models * study.pretrain.epochs
