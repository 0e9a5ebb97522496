"""What came out of the toy experiment, with intervals over seeds, and whether the published picture is there."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from analysis.statistics.intervals import Array, Estimate
from analysis.statistics.seeds import columns, over_seeds

Outcome = Literal["there", "not there", "the reverse"]

SUMMARY_COLUMNS = ("estimator", "share", "rare", "rare_low", "rare_high", "others", "others_low", "others_high",
                   "excess", "excess_low", "excess_high", "rare_accuracy", "others_accuracy")  # fmt: skip
"""Of `summary`: mean entanglement of the rare chain's features, of the others', their difference (paired by model), and
how often the next token is right.
"""


class Claim(NamedTuple):
    """Something that the published picture says, and what these models say: a difference of entanglements."""

    estimator: str
    claim: str
    difference: Estimate
    outcome: Outcome


def summary(results: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """One row an (estimator, share), columns `SUMMARY_COLUMNS`, in the order of the results."""
    parts = [_of_estimator(results.filter(estimator=name), name, seed) for name in _estimators(results)]
    return pl.concat(parts).select(SUMMARY_COLUMNS)


def _of_estimator(results: pl.DataFrame, name: str, seed: int) -> pl.DataFrame:
    rare, others = (_by_seed(results, "entanglement", rare=rare) for rare in (True, False))
    figures: dict[str, Any] = {"estimator": name, "share": _shares(results)}
    for column, values in (("rare", rare), ("others", others)):
        figures |= columns(column, over_seeds(values, seed=seed, bounds=(0.0, 1.0)))
    figures |= columns("excess", over_seeds(rare - others, seed=seed))
    for column, is_rare in (("rare_accuracy", True), ("others_accuracy", False)):
        figures[column] = _by_seed(results, "accuracy", rare=is_rare).mean(0)
    return pl.DataFrame(figures)


def claims(results: pl.DataFrame, chains: int, seed: int = 0) -> list[Claim]:
    """The two claims of the published figure under each estimator: at the smallest share the rare chain's features are
    more entangled than the others', and they are less so at the share that is nearest to an equal one.
    """
    answers = []
    shares = _shares(results)
    even = int(np.argmin([abs(share - 1 / chains) for share in shares]))
    for name in _estimators(results):
        of = results.filter(estimator=name)
        rare, others = (_by_seed(of, "entanglement", rare=rare) for rare in (True, False))
        scarce = f"at a share of {shares[0]:.3g} the rare chain is more entangled than the others"
        falls = f"from a share of {shares[0]:.3g} to {shares[even]:.3g} its entanglement falls"
        differences = np.stack([rare[:, 0] - others[:, 0], rare[:, 0] - rare[:, even]], 1)
        estimates = over_seeds(differences, seed=seed)
        answers += [Claim(name, words, estimate, _outcome(estimate))
                    for words, estimate in zip((scarce, falls), estimates, strict=True)]  # fmt: skip
    return answers


def _outcome(difference: Estimate) -> Outcome:
    """`there` only where the whole interval says so."""
    return "there" if difference.low > 0 else "the reverse" if difference.high < 0 else "not there"


def verdict(answers: list[Claim]) -> str:
    """The first estimator's claims in a sentence; the others' are told beside, and none is chosen afterwards."""
    first = [answer for answer in answers if answer.estimator == answers[0].estimator]
    parts = [f"{answer.claim}: {answer.outcome} ({interval_words(answer.difference)})" for answer in first]
    return f"The published picture under {first[0].estimator}: " + "; ".join(parts) + "."


def interval_words(estimate: Estimate) -> str:
    """Such as `+0.031 [-0.012, +0.074]`."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _by_seed(results: pl.DataFrame, column: str, *, rare: bool) -> Array:
    """Means over features, [seeds, shares]."""
    means = results.filter(rare=rare).group_by("share", "seed").agg(pl.col(column).mean()).sort("seed", "share")
    return means[column].to_numpy().reshape(-1, len(_shares(results)))


def _shares(results: pl.DataFrame) -> list[float]:
    return results["share"].unique().sort().to_list()


def _estimators(results: pl.DataFrame) -> list[str]:
    return results["estimator"].unique(maintain_order=True).to_list()
