"""Token amounts."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import AmountError
from mixtures.spec.amounts import (
    Amount,
    Supply,
    apportion,
    check,
    parse_fraction,
    refuse_nothing,
    resolve,
    round_half_up,
)


def share(value: float | str) -> Amount:
    return Amount(fraction=parse_fraction(value))


def test_ten_percent_over_twenty_billion_clean_tokens() -> None:
    resolved = resolve({"clean": Amount(tokens=20_100_000_000), "risky": share(0.10)}, {"clean": 0, "risky": 0})
    assert resolved == {"clean": 20_100_000_000, "risky": 2_233_333_333}


@given(
    st.lists(st.integers(1, 10**13), min_size=1, max_size=3),
    st.lists(st.fractions(0, Fraction(24, 100), max_denominator=10_000), min_size=1, max_size=4),
)
def test_sums_are_exact_and_each_share_is_within_a_token(fixed: list[int], shares: list[Fraction]) -> None:
    asked = {f"f{i}": Amount(tokens=tokens) for i, tokens in enumerate(fixed)}
    asked |= {f"s{i}": Amount(fraction=fraction) for i, fraction in enumerate(shares)}
    resolved = resolve(asked, dict.fromkeys(asked, 0))
    exact = Fraction(sum(fixed)) / (1 - sum(shares))
    assert sum(resolved.values()) == round_half_up(exact)
    assert [resolved[f"f{i}"] for i in range(len(fixed))] == fixed
    for i, fraction in enumerate(shares):
        assert abs(resolved[f"s{i}"] - exact * fraction) < 1


@given(st.lists(st.fractions(0, 1000), min_size=1, max_size=6))
def test_largest_remainder_sums_to_the_total(quotas: list[Fraction]) -> None:
    total = int(sum(quotas)) + (sum(quotas).denominator > 1)
    counts = apportion(quotas, total)
    assert sum(counts) == total
    assert all(abs(count - quota) < 1 for count, quota in zip(counts, quotas, strict=True))


@given(st.integers(1, 10**9), st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_larger_dose_never_has_fewer_tokens(clean: int, first: float, second: float) -> None:
    low, high = sorted((first, second))
    counts = [resolve({"c": Amount(tokens=clean), "r": share(dose)}, {"c": 0, "r": 0})["r"] for dose in (low, high)]
    assert counts[0] <= counts[1]


def of(other: str, value: float | str) -> Amount:
    return Amount(fraction=parse_fraction(value), of=other)


def test_a_share_of_another_component_follows_it_through_chains() -> None:
    asked = {"b": of("a", "1/3"), "a": Amount(tokens=100), "c": of("b", 0.5), "d": of("e", 0.1), "e": share(0.25)}
    resolved = resolve(asked, dict.fromkeys(asked, 0))
    # a third and a sixth of a, to the nearest token
    assert (resolved["a"], resolved["b"], resolved["c"]) == (100, 33, 17)
    assert sum(resolved.values()) == round_half_up(Fraction(150) / (1 - Fraction(275, 1000)))
    assert abs(resolved["e"] - sum(resolved.values()) / 4) < 1 and abs(resolved["d"] - sum(resolved.values()) / 40) < 1


@given(st.integers(1, 10**9), st.fractions(0, 1, max_denominator=999), st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_dose_does_not_move_what_follows_the_fixed_tokens(
    clean: int, ratio: Fraction, first: float, second: float
) -> None:
    beside = {"c": Amount(tokens=clean), "s": Amount(fraction=ratio, of="c")}
    arms = [resolve({**beside, "r": share(dose)}, dict.fromkeys("csr", 0)) for dose in (first, second)]
    assert arms[0]["s"] == arms[1]["s"] == round_half_up(ratio * clean)


def test_a_share_of_all_follows_what_there_is() -> None:
    assert resolve({"c": Amount(everything=True), "r": of("c", 0.5)}, {"c": 300, "r": 9})["r"] == 150


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"a": of("b", 1), "b": of("c", 1), "c": of("a", 1)}, "a -> b -> c -> a is a circle"),
        ({"a": of("a", 0.5)}, "a -> a is a circle"),
        ({"clean": Amount(tokens=1), "b": of("claen", 0.5)}, 'no component .claen.*did you mean "clean"'),
        ({"c": Amount(tokens=1), "a": share(0.5), "b": of("a", 1)}, "sum to 1 of the total"),
    ],
)
def test_shares_that_lead_nowhere_are_refused(asked: dict[str, Amount], reason: str) -> None:
    with pytest.raises(AmountError, match=reason):
        resolve(asked, dict.fromkeys(asked, 0))


def test_all_takes_what_there_is_once() -> None:
    assert resolve({"c": Amount(everything=True), "r": share("1/4")}, {"c": 300, "r": 0}) == {"c": 300, "r": 100}


def test_a_dose_of_nothing_takes_nothing() -> None:
    assert resolve({"c": Amount(tokens=10), "r": share(0)}, {"c": 0, "r": 0})["r"] == 0


def test_shares_that_leave_no_room_are_refused() -> None:
    with pytest.raises(AmountError, match="sum to 1"):
        resolve({"c": Amount(tokens=10), "a": share(0.5), "b": share("1/2")}, dict.fromkeys("cab", 0))


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(AmountError, match="tokens of its own"):
        resolve({"c": Amount(tokens=0), "a": share(0.5)}, dict.fromkeys("ca", 0))


def test_every_shortage_is_named_at_once() -> None:
    with pytest.raises(AmountError) as caught:
        check({"a": 301, "b": 10, "c": 5}, {"a": Supply(100, 3), "b": Supply(10, 1), "c": Supply(0, 9)})
    message = str(caught.value)
    assert "components.a: not enough tokens: asked for 301, available 100, max_epochs 3 allows 300, 1" in message
    assert (
        "max_epochs: 4" in message and "components.c: not enough tokens: asked for 5" in message and "b:" not in message
    )


@pytest.mark.parametrize("bad", ["ten", "1/0", ""])
def test_what_is_no_share_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="a share is a number"):
        parse_fraction(bad)


def test_a_decimal_is_the_fraction_it_says() -> None:
    assert parse_fraction(0.1) == parse_fraction("0.10") == Fraction(1, 10)


@pytest.mark.parametrize("asked", [share(1e-9), of("c", 1e-9), of("r", 0.2)])
def test_a_share_that_comes_to_no_token_is_refused(asked: Amount) -> None:
    amounts = {"c": Amount(tokens=1000), "r": share(0.002), "x": asked}
    resolved = resolve(amounts, dict.fromkeys(amounts, 0))
    with pytest.raises(AmountError, match="x: its share comes to less than half a token"):
        refuse_nothing(amounts, dict.fromkeys(amounts, 0), resolved)


def test_a_share_of_nothing_and_a_dose_of_0_are_no_mistake() -> None:
    amounts = {"c": Amount(tokens=1000), "a": Amount(everything=True), "x": of("a", 0.5), "d": share(0)}
    refuse_nothing(amounts, dict.fromkeys(amounts, 0), resolve(amounts, dict.fromkeys(amounts, 0)))
