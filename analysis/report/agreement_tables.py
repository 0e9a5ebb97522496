"""What the report says of its scorers: how far they agree, and whether the answer is the same under each."""

from __future__ import annotations

import polars as pl

from infra.render.page import Table


def agreement_tables(agreement: pl.DataFrame, answers: pl.DataFrame) -> list[Table]:
    """Tables of the frames `AGREEMENT` and `ANSWERS` of `analysis.statistics.agreement`; none for one scorer."""
    tables = []
    if agreement.height:
        columns = ("scorers", "generations", "Spearman", "Cohen's κ at 0.5", "toxic by the one, the other", "unscored")
        tables.append(Table("How far the scorers agree", columns, tuple(map(_pair, agreement.to_dicts()))))
    if answers.height > 1:
        tables.append(Table("The answer under every scorer", _ANSWER, tuple(map(_answer, answers.to_dicts()))))
    return tables


_ANSWER = ("scorer", "verdict", "recipe chosen", "order of the recipes (Kendall's τ)", "answer")


def _pair(row: dict[str, object]) -> tuple[object, ...]:
    return (
        f"{row['first']} and {row['second']}",
        row["generations"],
        _interval(row, "spearman"),
        _interval(row, "kappa"),
        f"{_percent(row['toxic_first'])}, {_percent(row['toxic_second'])}",
        f"{row['unscored_first']}, {row['unscored_second']}",
    )


def _answer(row: dict[str, object]) -> tuple[object, ...]:
    recipe = "the same" if row["same_recipe"] else "another"
    order = "none" if row["order"] is None else f"{row['order']:.2f} over {row['recipes']}"
    return row["scorer"], row["verdict"], recipe, order, row["sentence"]


def _interval(row: dict[str, object], name: str) -> str:
    if row[name] is None:
        return "none: one of them says the same of all"
    return f"{row[name]:.2f} [{row[f'{name}_low']:.2f}, {row[f'{name}_high']:.2f}]"


def _percent(share: object) -> str:
    return "–" if not isinstance(share, float) else f"{100 * share:.1f} %"
