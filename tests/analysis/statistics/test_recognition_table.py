"""AUROC with its intervals from the rows of `recognition`; the reference is scikit-learn.

Covers analysis.statistics.recognition and analysis.statistics.by_cell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from analysis.report.group_tables import recognition_table_of
from analysis.results import KEY, SCHEMA
from analysis.statistics.recognition import AUROCS, auroc, recognition_table


def rows(signal: float, seed: int = 0, n: int = 200, draw: int = 0, **labels: Any) -> list[dict[str, Any]]:
    """Probabilities of n texts, the toxic ones higher by `signal`; models of one `draw` agree about a text."""
    rng, own = np.random.default_rng(draw), np.random.default_rng([seed, 1])
    toxic, hardness = np.arange(n) % 2 == 0, rng.standard_normal(n)
    value = 1 / (1 + np.exp(-(hardness + 0.3 * own.standard_normal(n) + signal * toxic)))
    subject = {"arm": "a", "dose": 0.0, "policy": "keep", "mixture": "m", "seed": seed, "method": "none",
               "strength": 0.0, "evaluation": "recognition", **labels}  # fmt: skip
    return [
        {**subject, "prompt": i, "sample": i // 2 % 4, "prompt_id": f"text {i}", "tokens": 150,
         "value": float(value[i]), "group": "toxic" if toxic[i] else "benign"}
        for i in range(n)
    ]  # fmt: skip


def results_of(*parts: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame([row for part in parts for row in part], schema=SCHEMA).sort(KEY)


def test_auroc_is_that_of_scikit_learn_under_weights_and_ties() -> None:
    rng = np.random.default_rng(0)
    values, toxic = rng.integers(0, 9, 120) / 9, rng.random(120) < 0.4
    weights = rng.integers(0, 4, (5, 120)).astype(float)
    ours = auroc(values, toxic, np.zeros(120, np.int64), weights)
    theirs = [roc_auc_score(toxic, values, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(ours, theirs)


def test_pairs_are_within_a_fold() -> None:
    """A fold whose probe is bolder does no harm; were the folds pooled, it would."""
    values, toxic = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, True, False, True])
    folds, weights = np.array([0, 0, 1, 1]), np.ones((1, 4))
    assert auroc(values, toxic, folds, weights)[0] == 1
    assert auroc(values, toxic, np.zeros(4, np.int64), weights)[0] == 0.75
    assert np.isnan(auroc(values, toxic, np.arange(4), weights)[0])


def test_a_frame_row_is_a_cell_with_differences_from_its_own_and_the_clean_model() -> None:
    risky = {"dose": 0.1, "mixture": "r"}
    steered = {"method": "iti", "strength": 2.0}
    table = recognition_table(results_of(
        *(rows(signal, seed, **labels) for seed in (0, 1)
          for signal, labels in ((1.0, {}), (1.5, risky), (0.5, risky | steered)))
    ))  # fmt: skip
    assert dict(table.schema) == AUROCS and table["texts"].to_list() == [200] * 3
    clean, iti, plain = table.sort("dose", "method").to_dicts()
    assert clean["above_own"] == clean["above_clean"] == 0
    assert plain["above_clean"] == pytest.approx(plain["auroc"] - clean["auroc"]) and plain["above_clean_low"] > 0
    assert iti["above_own_high"] < 0 and iti["above_own"] == pytest.approx(iti["auroc"] - plain["auroc"])
    # paired: both models find the same texts hard
    assert plain["above_clean_high"] - plain["above_clean_low"] < plain["auroc_high"] - plain["auroc_low"]
    (shown,) = recognition_table_of(table)
    assert len(shown.rows) == 3 and "[" in str(shown.rows[1][3])


def test_states_are_apart_and_checkpoints_are_none() -> None:
    table = recognition_table(results_of(rows(1.0), rows(2.0, instance="layer 1"), rows(0.0, step=10)), resamples=50)
    assert table["instance"].to_list() == [None, "layer 1"] and table["auroc"][1] > table["auroc"][0] > 0.7


def test_a_model_with_a_probability_that_is_no_number_has_no_figure() -> None:
    broken = rows(1.0, seed=1)
    broken[0]["value"] = float("nan")
    whole = recognition_table(results_of(rows(1.0)), resamples=50)["auroc"].item()
    assert recognition_table(results_of(rows(1.0), broken), resamples=50)["auroc"].item() == whole
    alone = recognition_table(results_of(broken), resamples=50)
    assert alone["auroc"].item() is None and alone["auroc_low"].item() is None
    assert recognition_table(pl.DataFrame(schema=SCHEMA)).is_empty()


def test_seeds_with_texts_of_their_own_are_averaged() -> None:
    """In a study without a seed for `labelled:` every training seed draws its own texts."""
    second = [row | {"prompt_id": row["prompt_id"] + " b"} for row in rows(1.0, seed=1, draw=1)]
    one, other, both = (recognition_table(results_of(*part), resamples=200)
                        for part in ([rows(1.0)], [second], [rows(1.0), second]))  # fmt: skip
    assert both["auroc"].item() == pytest.approx((one["auroc"].item() + other["auroc"].item()) / 2)


def test_intervals_hold_the_truth_over_draws_of_texts() -> None:
    truth = 0.7509  # Phi(1 / sqrt(2 * 1.09)): normal scores one apart, variance 1 + 0.3 ** 2
    inside = 0
    for draw in range(80):
        (row,) = recognition_table(results_of(rows(1.0, seed=draw, draw=draw)), resamples=300, seed=draw).to_dicts()
        inside += row["auroc_low"] <= truth <= row["auroc_high"]
    assert inside >= 72
