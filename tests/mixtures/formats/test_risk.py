"""The risk byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.formats import risk

SCORES = st.floats(0, 1)


@given(SCORES, SCORES)
def test_a_higher_score_never_has_a_lower_byte(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert risk.encode(low) <= risk.encode(high)


@given(SCORES)
def test_bytes_of_scores_are_neither_unscored_nor_structural(score: float) -> None:
    assert risk.LOWEST <= int(risk.encode(score)) <= risk.HIGHEST


@given(st.integers(risk.LOWEST, risk.HIGHEST))
def test_decoding_and_encoding_gives_the_byte_back(level: int) -> None:
    assert int(risk.encode(risk.decode(np.uint8(level)))) == level


@given(st.floats(1e-5, 1 - 1e-5))
def test_a_byte_keeps_the_logit_to_half_a_step(score: float) -> None:
    decoded = float(risk.decode(risk.encode(score)))
    assert (
        abs(np.log(decoded / (1 - decoded)) - np.log(score / (1 - score))) <= 12 / 253 + 2e-2 * (score > 0.999) + 1e-4
    )


@given(st.floats(1e-6, 1), st.floats(0, 1))
def test_a_threshold_finds_every_score_at_or_above_it(threshold: float, score: float) -> None:
    risky = bool(risk.at_or_above(risk.encode([score]), threshold)[0])
    assert risky or score < threshold


def test_both_ends_stay_apart() -> None:
    levels = [int(risk.encode(score)) for score in (1e-5, 1e-4, 1e-3, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999)]
    assert min(np.diff(levels)) >= 20


def test_the_half_is_the_edge_of_a_step() -> None:
    below, at = np.nextafter(np.float32(0.5), np.float32(0)), np.float32(0.5)
    assert risk.at_or_above(risk.encode([below, at]), 0.5).tolist() == [False, True]


def test_unscored_and_structural_tokens_are_never_risky() -> None:
    levels = np.asarray([risk.UNSCORED, risk.STRUCTURAL], dtype=np.uint8)
    assert not risk.at_or_above(levels, 1e-6).any()
    assert np.isnan(risk.decode(levels)).all()


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1])
def test_what_is_no_score_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        risk.encode([0.5, bad])


@pytest.mark.parametrize("bad", [0, -1, 1.5, float("nan")])
def test_what_is_no_threshold_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="threshold"):
        risk.threshold_byte(bad)
