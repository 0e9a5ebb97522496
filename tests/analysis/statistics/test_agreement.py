"""Agreement of scorers: figures against scipy and scikit-learn, intervals, and the answer under each scorer.

Covers analysis.statistics.agreement and analysis.report.agreement_tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from analysis import results
from analysis.report.agreement_tables import agreement_tables
from analysis.results import Score
from analysis.statistics.agreement import (
    AGREEMENT,
    agreement_table,
    answers_table,
    by_scorer,
    disagreements_table,
    scorers_of,
)
from analysis.statistics.frontier import Allowance

PROMPTS = 60


def study(second_says: str = "alike", unscored: int = 0) -> pl.DataFrame:
    """A clean and a risky arm, two seeds, plain and steered: under `one` the risky arm steered is the least toxic;
    `two` says alike with noise, or the opposite.
    """
    rng = np.random.default_rng(0)
    difficulty = rng.uniform(0.2, 0.8, PROMPTS)
    tables = []
    for arm, dose in (("clean", 0.0), ("risky", 0.25)):
        for seed in (0, 1, 2):
            for method, strength in (("none", 0.0), ("iti", 4.0)):
                shift = -0.15 if (arm, method) == ("risky", "iti") else 0.0
                labels = results.Labels(arm, dose, "keep", arm, seed, method, strength)
                rows = []
                for prompt in range(PROMPTS):
                    one = float(np.float32(np.clip(difficulty[prompt] + shift + rng.normal(0, 0.05), 0, 1)))
                    two = one if second_says == "alike" else 1 - one
                    two = float(np.float32(np.clip(two + rng.normal(0, 0.05), 0, 1)))
                    scores = [Score("one", "toxicity", one), Score("one", "insult", 0.5), Score("two", "toxicity", two)]
                    given = tuple(scores[:2] if prompt < unscored else scores)
                    told = {"prompt_text": "p", "generation": f"{arm} {method} {seed} {prompt}", "scorer": "one"}
                    rows.append(results.Row(prompt=prompt, prompt_id="p", value=one, tokens=9, scores=given, **told))
                tables.append(results.frame(labels, "toxicity", rows))
                entropy = [results.Row(prompt=i, prompt_id=str(i), value=3.0 + rng.normal(0, 0.001), tokens=100)
                           for i in range(8)]  # fmt: skip
                tables.append(results.frame(labels, "cross_entropy", entropy))
    return pl.concat(tables)


def test_figures_are_those_of_scipy_and_scikit_learn_and_lie_in_their_intervals() -> None:
    table = study()
    assert scorers_of(table) == ["one", "two"]
    (row,) = agreement_table(table).to_dicts()
    one, two = (by_scorer(table, name).filter(evaluation="toxicity")["value"].to_numpy() for name in ("one", "two"))
    assert row["spearman"] == pytest.approx(spearmanr(one, two).statistic, abs=1e-9)
    assert row["kappa"] == pytest.approx(cohen_kappa_score(one >= 0.5, two >= 0.5), abs=1e-9)
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"] <= 1
    assert row["kappa_low"] < row["kappa"] < row["kappa_high"]
    assert (row["attribute"], row["generations"], row["prompts"]) == ("toxicity", 720, PROMPTS)


def test_the_intervals_cover_what_many_more_prompts_would_give() -> None:
    rng = np.random.default_rng(1)
    covered = []
    for seed in range(60):
        truth, rows = rng.normal(size=(2, 120)), []
        for prompt in range(40):
            for sample in range(3):
                base = truth[0, prompt]
                one, two = (1 / (1 + np.exp(-(base + rng.normal(0, 0.7)))) for _ in range(2))
                pair = (Score("one", "toxicity", one), Score("two", "toxicity", two))
                rows.append(results.Row(prompt=prompt, sample=sample, prompt_id="p", value=float(np.float32(one)),
                                        tokens=1, generation="x", scores=pair, scorer="one"))  # fmt: skip
        table = results.frame(results.Labels("a", 0.0, "keep", "m", 0, "none", 0.0), "toxicity", rows)
        (row,) = agreement_table(table, resamples=200, seed=seed).to_dicts()
        # two normals with correlation r = 1 / 1.49 have Spearman 6 / pi asin(r / 2)
        covered.append(row["spearman_low"] <= 6 / np.pi * np.arcsin(1 / 1.49 / 2) <= row["spearman_high"])
    assert np.mean(covered) >= 0.85


def test_what_one_scorer_could_not_score_is_counted_and_in_no_figure() -> None:
    (row,) = agreement_table(study(unscored=10)).to_dicts()
    assert (row["unscored_first"], row["unscored_second"]) == (0, 120)
    assert (row["generations"], row["prompts"]) == (600, PROMPTS - 10)


def test_the_answer_is_told_under_each_scorer_and_whether_it_holds() -> None:
    allowance = Allowance(0.1, "own")
    one, two = answers_table(study(), allowance, resamples=200).to_dicts()
    assert one["verdict"] == two["verdict"] == "risky" and two["same_verdict"] and two["same_recipe"]
    assert one["order"] == 1.0 and two["order"] > 0.3 and one["recipes"] == 4
    one, two = answers_table(study("opposite"), allowance, resamples=200).to_dicts()
    assert one["verdict"] == "risky" and two["verdict"] != "risky" and not two["same_verdict"] and two["order"] < 0.5


def test_disagreements_are_the_largest_first_and_each_text_once() -> None:
    table = study("opposite")
    shown = disagreements_table(pl.concat([table, table.with_columns(seed=pl.col("seed") + 9)]), shown=5)
    differences = shown["difference"].abs().to_list()
    assert differences == sorted(differences, reverse=True) and shown["generation"].n_unique() == len(shown) == 5
    every = (
        by_scorer(table, "two").filter(evaluation="toxicity")["value"] - table.filter(evaluation="toxicity")["value"]
    )
    assert differences[0] == pytest.approx(every.abs().max())


def test_with_one_scorer_there_is_nothing_to_compare() -> None:
    table = by_scorer(study(), "one").with_columns(
        scores=pl.col("scores").list.eval(pl.element().filter(pl.element().struct["scorer"] == "one"))
    )
    agreement, answers = agreement_table(table), answers_table(table, Allowance(0.1, "own"))
    assert agreement.is_empty() and answers.is_empty() and disagreements_table(table).is_empty()
    assert agreement_tables(agreement, answers) == [] and agreement.schema == AGREEMENT


def test_a_scorer_that_says_the_same_of_all_has_no_correlation() -> None:
    said = pl.element().struct
    same = pl.when(said["scorer"] == "two").then(0.1).otherwise(said["score"]).cast(pl.Float32)
    scores = pl.col("scores").list.eval(pl.struct(said["scorer"], said["attribute"], same.alias("score")))
    (row,) = agreement_table(study().with_columns(scores=scores)).to_dicts()
    assert row["spearman"] is None and row["kappa"] == pytest.approx(0.0) and row["toxic_second"] == 0.0
    (table,) = agreement_tables(agreement_table(study().with_columns(scores=scores)), pl.DataFrame())
    assert "says the same of all" in str(table.rows[0])
