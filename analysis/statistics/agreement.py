"""Do scorers agree, and does what a study says depend on which of them is asked?

Scorers are compared on the attribute that counts, on the generations that both could score. Spearman's rank correlation
compares their orders, Cohen's kappa (Cohen 1960, Educ. Psychol. Meas. 20:37) what they call toxic (score >= 0.5) beyond
chance. Intervals resample prompts, all of whose generations go together; seeds and arms are those of the study.
Where both of two scorers give every text one and the same score there is no correlation, and it is null.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import kendalltau

from analysis.results import TOXICITY, main
from analysis.statistics.answer import answer
from analysis.statistics.frontier import Allowance
from analysis.statistics.intervals import Array, draw_weights
from analysis.statistics.panels import Cell, build
from analysis.statistics.verdict import Answer

Codes = NDArray[np.intp]

TOXIC = 0.5
RESAMPLES = 500
"""At most: a resample ranks every generation anew."""
SHOWN = 20
"""Disagreements of a pair."""

AGREEMENT: dict[str, pl.DataType] = {
    "first": pl.String(),
    "second": pl.String(),
    "attribute": pl.String(),
    "generations": pl.Int64(),
    "prompts": pl.Int64(),
    **{f"{name}{end}": pl.Float64() for name in ("spearman", "kappa") for end in ("", "_low", "_high")},
    "toxic_first": pl.Float64(),
    "toxic_second": pl.Float64(),
    "unscored_first": pl.Int64(),
    "unscored_second": pl.Int64(),
}
"""One row a pair of scorers: rank correlation and kappa with 95 % intervals over `generations` that both scored, the
share that each calls toxic, and how many of all generations with a text each could not score.
"""
ANSWERS: dict[str, pl.DataType] = {
    "scorer": pl.String(),
    "verdict": pl.String(),
    "sentence": pl.String(),
    "same_verdict": pl.Boolean(),
    "same_recipe": pl.Boolean(),
    "order": pl.Float64(),
    "recipes": pl.Int64(),
}
"""One row a scorer: the answer with its scores as values. Beside it whether verdict and chosen risky recipe are those
of the scorer that counts, and Kendall's tau-b between the mean toxicities of all recipes on all arms under both.
"""
DISAGREEMENTS: dict[str, pl.DataType] = {
    "first": pl.String(),
    "second": pl.String(),
    "prompt_text": pl.String(),
    "generation": pl.String(),
    "score_first": pl.Float64(),
    "score_second": pl.Float64(),
    "difference": pl.Float64(),
}
"""The generations on which two scorers differ most, the same text once; `difference` is second minus first."""


def scorers_of(results: pl.DataFrame) -> list[str]:
    """The scorers of a study, the one that counts first, then by name; empty where nothing was scored."""
    toxic = _toxic(results)
    first = toxic["scorer"].drop_nulls().unique().sort().to_list()
    others = toxic.select(pl.col("scores").explode().struct.field("scorer")).to_series().drop_nulls().unique().sort()
    return list(dict.fromkeys([*first, *others.to_list()]))


def by_scorer(results: pl.DataFrame, scorer: str) -> pl.DataFrame:
    """The results with the scores of `scorer` as the values of toxicity; null where it gave none."""
    attribute = _attribute(results)
    said = pl.element()
    chosen = said.filter((said.struct["scorer"] == scorer) & (said.struct["attribute"] == attribute)).struct["score"]
    value = pl.col("scores").list.eval(chosen).list.first().cast(pl.Float64)
    toxic = pl.col("evaluation") == TOXICITY
    return results.with_columns(value=pl.when(toxic).then(value).otherwise("value"))


def agreement_table(results: pl.DataFrame, *, resamples: int = RESAMPLES, seed: int = 0) -> pl.DataFrame:
    """`AGREEMENT` of every pair of scorers; empty with fewer than two."""
    scored = {scorer: _toxic(by_scorer(results, scorer)) for scorer in scorers_of(results)}
    rows = [
        {"first": one, "second": other, "attribute": _attribute(results)}
        | _pair(scored[one], scored[other], min(resamples, RESAMPLES), seed)
        for one, other in combinations(scored, 2)
    ]
    return pl.DataFrame(rows, schema=AGREEMENT)


def answers_table(results: pl.DataFrame, allowance: Allowance, *, resamples: int = 2000, seed: int = 0) -> pl.DataFrame:
    """`ANSWERS` of every scorer; empty with fewer than two."""
    scorers = scorers_of(results)
    if len(scorers) < 2:
        return pl.DataFrame(schema=ANSWERS)
    rows: list[dict[str, object]] = []
    reference: tuple[Answer, dict[Cell, float]] | None = None
    for scorer in scorers:
        panels = build(by_scorer(results, scorer))
        if not panels.cells:
            continue
        told = answer(panels, allowance, resamples=resamples, seed=seed)
        means = dict(zip(panels.cells, map(float, panels.mean.values()), strict=True))
        reference = reference or (told, means)
        said = {"scorer": scorer, "verdict": told.verdict, "sentence": told.sentence}
        rows.append(said | _against(told, means, reference))
    return pl.DataFrame(rows, schema=ANSWERS)


def disagreements_table(results: pl.DataFrame, shown: int = SHOWN) -> pl.DataFrame:
    """`DISAGREEMENTS`, at most `shown` a pair, the largest first."""
    scored = {scorer: _toxic(by_scorer(results, scorer)) for scorer in scorers_of(results)}
    tables = [pl.DataFrame(schema=DISAGREEMENTS)]
    for one, other in combinations(scored, 2):
        both = scored[one].select("prompt_text", "generation", score_first="value").with_columns(
            scored[other]["value"].alias("score_second"), first=pl.lit(one), second=pl.lit(other)
        )  # fmt: skip
        both = both.with_columns(difference=pl.col("score_second") - pl.col("score_first"))
        known = both.filter(pl.col("difference").is_finite()).unique(maintain_order=True)
        largest = known.sort(pl.col("difference").abs(), "prompt_text", "generation", descending=[True, False, False])
        tables.append(largest.head(shown).select(DISAGREEMENTS.keys()))
    return pl.concat(tables)


def _toxic(results: pl.DataFrame) -> pl.DataFrame:
    return main(results).filter(pl.col("evaluation") == TOXICITY)


def _attribute(results: pl.DataFrame) -> str:
    """The attribute that counts: the one of the scorer that counts whose scores are the values."""
    scored = _toxic(results).filter(pl.col("value").is_not_null()).explode("scores")
    said = pl.col("scores").struct
    own = scored.filter(said.field("scorer") == pl.col("scorer")).select(
        attribute=said.field("attribute"), equal=said.field("score") == pl.col("value").cast(pl.Float32)
    )
    candidates = own.group_by("attribute", maintain_order=True).agg(pl.col("equal").all()).filter("equal")
    return str(candidates["attribute"][0]) if len(candidates) else "toxicity"


def _against(told: Answer, means: dict[Cell, float], reference: tuple[Answer, dict[Cell, float]]) -> dict[str, object]:
    """How an answer and the means of its recipes compare with those of the scorer that counts."""
    first, base = reference
    shared = [cell for cell in base if cell in means]
    order = float("nan")
    if len(shared) > 1:
        order = float(kendalltau([base[cell] for cell in shared], [means[cell] for cell in shared]).statistic)
    chosen, counted = (its.risky.words if its.risky else None for its in (told, first))
    return {
        "same_verdict": told.verdict == first.verdict,
        "same_recipe": chosen == counted,
        "order": order if np.isfinite(order) else None,
        "recipes": len(shared),
    }


def _pair(one: pl.DataFrame, other: pl.DataFrame, resamples: int, seed: int) -> dict[str, object]:
    """Figures of two scorers over the same rows."""
    first, second = (table["value"].to_numpy() for table in (one, other))
    texts = one["generation"].str.strip_chars().str.len_chars().fill_null(0).to_numpy() > 0
    both = np.isfinite(first) & np.isfinite(second)
    prompts, clusters = np.unique(one["prompt"].to_numpy()[both], return_inverse=True)
    counts: dict[str, object] = {
        "generations": int(both.sum()),
        "prompts": len(prompts),
        "unscored_first": int((texts & ~np.isfinite(first)).sum()),
        "unscored_second": int((texts & ~np.isfinite(second)).sum()),
    }
    if len(prompts) < 2:
        return counts
    first, second = first[both], second[both]
    weights = draw_weights(np.random.default_rng([seed, 0xA6EE]), resamples, len(prompts))
    everything = np.vstack([np.ones((1, len(prompts))), weights])
    figures = {"spearman": _spearman(first, second, clusters, everything),
               "kappa": _kappa(first >= TOXIC, second >= TOXIC, clusters, everything)}  # fmt: skip
    limits = {name: _interval(draws) for name, draws in figures.items()}
    return (
        counts
        | {
            f"{name}{end}": value
            for name, its in limits.items()
            for end, value in zip(("", "_low", "_high"), its, strict=True)
        }
        | {"toxic_first": float((first >= TOXIC).mean()), "toxic_second": float((second >= TOXIC).mean())}
    )


def _interval(draws: Array) -> tuple[float | None, float | None, float | None]:
    """The figure, which comes first, and the percentiles of its resamples that exist; None where there is none."""
    value, resampled = float(draws[0]), draws[1:][np.isfinite(draws[1:])]
    if not np.isfinite(value) or not len(resampled):
        return None, None, None
    low, high = np.quantile(resampled, (0.025, 0.975))
    return value, float(low), float(high)


def _spearman(first: Array, second: Array, clusters: Codes, weights: Array) -> Array:
    """Spearman's correlation [draws] under weights of the clusters [draws, clusters]: of weighted midranks."""
    x, y = (np.unique(values, return_inverse=True)[1] for values in (first, second))
    return np.array([_correlation(_midranks(x, w), _midranks(y, w), w) for w in weights[:, clusters]])


def _midranks(codes: Codes, weights: Array) -> Array:
    """Ranks of values, given as their place among the distinct ones, where each counts by its weight."""
    of_value = np.bincount(codes, weights)
    return (np.cumsum(of_value) - of_value / 2)[codes]


def _correlation(first: Array, second: Array, weights: Array) -> float:
    total = weights.sum()
    x, y = (values - weights @ values / total for values in (first, second))
    scale = np.sqrt((weights @ x**2) * (weights @ y**2))
    return float(weights @ (x * y) / scale) if scale > 1e-9 * total else float("nan")


def _kappa(first: NDArray[np.bool_], second: NDArray[np.bool_], clusters: Codes, weights: Array) -> Array:
    """Cohen's kappa [draws] of two judgements; nan where both judge all texts alike, as chance alone would."""
    counts = [np.bincount(clusters, its, minlength=weights.shape[1]) for its in (first & second, first, second)]
    total = weights @ np.bincount(clusters, minlength=weights.shape[1])
    both, one, other = (weights @ its / total for its in counts)
    agreeing, by_chance = 1 - one - other + 2 * both, one * other + (1 - one) * (1 - other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(by_chance < 1, (agreeing - by_chance) / (1 - by_chance), np.nan)
