"""The statistics of a cascade, against simulation and against counting by hand.

Covers curation.cascade.threshold.
"""

from __future__ import annotations

import numpy as np
import pytest

from curation.cascade.threshold import Tally, needed, threshold_of, tolerated
from infra.errors import DataError


@pytest.mark.parametrize(("recall", "confidence"), [(0.99, 0.95), (0.9, 0.9), (0.95, 0.8)])
def test_a_survey_of_the_least_size_is_just_enough(recall: float, confidence: float) -> None:
    least = needed(recall, confidence)
    assert tolerated(least, recall, confidence) >= 1
    assert tolerated(least - 1, recall, confidence) == 0
    assert needed(0.99, 0.95) == 299


@pytest.mark.parametrize("risky", [40, 200])
def test_the_recall_is_reached_as_often_as_promised_and_hardly_more(risky: int) -> None:
    """Gate scores are uniform on the risky documents, so that the recall of a threshold t is 1 − t."""
    draws = np.random.default_rng(0).random((4000, risky)).astype(np.float32)
    all_risky = np.ones(risky, dtype=bool)
    recalls = np.array([1 - threshold_of(gate, all_risky, 0.9, 0.9) for gate in draws])
    reached = float((recalls >= 0.9).mean())
    assert reached >= 0.885  # 0.9 less three standard errors
    assert float((np.sort(draws)[:, tolerated(risky, 0.9, 0.9)] <= 0.1).mean()) < 0.9  # the next one promises too much


def test_only_risky_documents_set_the_threshold() -> None:
    gate = np.array([0.01, 0.2, 0.3, 0.4] * 100, dtype=np.float32)
    assert threshold_of(gate, gate > 0.25, 0.9, 0.9) == pytest.approx(0.3)


@pytest.mark.parametrize(("risky", "advice"), [(10, "`survey` to about 2,200"), (0, "`survey` to many times that")])
def test_too_few_risky_documents_stop_the_run_and_say_how_many_are_needed(risky: int, advice: str) -> None:
    verdicts = np.arange(1000) < risky
    with pytest.raises(DataError, match=f"{risky} of the 1,000 surveyed documents are risky.* 22 on; raise {advice}"):
        threshold_of(np.linspace(0, 1, 1000, dtype=np.float32), verdicts, 0.9, 0.9)


def test_recall_counts_what_passed_and_estimates_what_did_not() -> None:
    recall = Tally(documents=10_000, above=1000, risky=900, below=9000, audited=900, missed=1).recall(0.95)
    assert recall is not None
    assert recall["reached"] == pytest.approx(900 / (900 + 9000 / 900))
    assert recall["low"] == pytest.approx(900 / (900 + 9000 * 0.006175), rel=1e-3)  # Clopper–Pearson for 1 of 900
    assert recall["low"] < recall["reached"] < recall["high"] < 1


def test_an_audit_of_everything_leaves_no_doubt() -> None:
    recall = Tally(documents=100, above=50, risky=40, below=50, audited=50, missed=10).recall(0.95)
    assert recall == {"reached": 0.8, "low": 0.8, "high": 0.8}


def test_recall_is_unknown_without_an_audit_and_certain_where_nothing_was_held_back() -> None:
    assert Tally(documents=100, above=50, risky=40, below=50).recall(0.95) is None
    assert Tally(documents=100, below=100, audited=100).recall(0.95) is None
    assert Tally(documents=100, surveyed=100).recall(0.95) == {"reached": 1.0, "low": 1.0, "high": 1.0}


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    below, missed = 5000, 50
    held = 0
    for _ in range(400):
        audited = random.random(below) < 0.1
        tally = Tally(
            above=1000, risky=450, below=below, audited=int(audited.sum()), missed=int(audited[:missed].sum())
        )
        recall = tally.recall(0.9)
        assert recall is not None
        held += recall["low"] <= 450 / (450 + missed) <= recall["high"]
    assert held / 400 >= 0.86  # 0.9 less three standard errors
