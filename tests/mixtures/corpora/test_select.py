"""Which documents are taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import AmountError
from mixtures.corpora.select import HOLD_OUT, TRAINING, CorpusDocuments, choose, hold_out, identities, in_order

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def documents(sizes: list[int]) -> CorpusDocuments:
    count = len(sizes)
    return CorpusDocuments(
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int32),
        np.asarray(sizes),
        identities("c", map(str, range(count))),
    )


@given(SIZES, st.data())
def test_exactly_the_asked_tokens_are_taken(sizes: list[int], data: st.DataObject) -> None:
    tokens = data.draw(st.integers(0, 3 * sum(sizes)))
    selection = choose(documents(sizes), tokens, seed=1)
    assert selection.total == tokens
    whole = np.asarray(sizes)[selection.position]
    assert (selection.tokens[:-1] == whole[:-1]).all() and (selection.tokens <= whole).all()
    assert (selection.tokens > 0).all()


@given(SIZES, st.data())
def test_a_smaller_amount_is_a_prefix_of_a_larger_one(sizes: list[int], data: st.DataObject) -> None:
    low, high = sorted(data.draw(st.integers(0, 3 * sum(sizes))) for _ in range(2))
    small, large = (choose(documents(sizes), tokens, seed=1) for tokens in (low, high))
    assert (small.position == large.position[: len(small.position)]).all()
    assert (small.epoch == large.epoch[: len(small.epoch)]).all()
    assert (small.tokens[:-1] == large.tokens[: len(small.tokens)][:-1]).all()


@given(SIZES, st.integers(1, 5))
def test_no_document_is_taken_more_often_than_epochs(sizes: list[int], epochs: int) -> None:
    selection = choose(documents(sizes), epochs * sum(sizes), seed=1)
    assert np.bincount(selection.position).tolist() == [epochs] * len(sizes)
    assert selection.epoch.max() == epochs - 1


@given(SIZES, st.randoms(use_true_random=False))
def test_order_depends_on_ids_and_not_on_shards(sizes: list[int], rng: object) -> None:
    here = documents(sizes)
    moved = np.asarray(rng.sample(range(len(sizes)), len(sizes)))  # type: ignore[attr-defined]
    there = here.take(moved)
    assert (here.identity[in_order(here, 3, TRAINING)] == there.identity[in_order(there, 3, TRAINING)]).all()


def test_seeds_and_purposes_give_different_orders() -> None:
    some = documents([1] * 200)
    orders = [tuple(in_order(some, seed, purpose)) for seed in (0, 1) for purpose in (TRAINING, HOLD_OUT)]
    assert len(set(orders)) == 4


@given(SIZES, st.data())
def test_the_hold_out_is_the_shortest_run_with_enough_tokens(sizes: list[int], data: st.DataObject) -> None:
    tokens = data.draw(st.integers(1, sum(sizes)))
    held = hold_out(documents(sizes), tokens, 0, "clean")
    taken = np.asarray(sizes)[held]
    assert taken.sum() >= tokens > taken[:-1].sum()


def test_a_hold_out_larger_than_the_component_is_refused() -> None:
    with pytest.raises(AmountError, match=r"hold_out.clean: asked for 11 tokens, the component has 10"):
        hold_out(documents([4, 6]), 11, 0, "clean")


def test_the_same_id_in_another_corpus_is_another_document() -> None:
    assert identities("a", ["x"])[0] != identities("b", ["x"])[0]
    assert identities("ab", ["c"])[0] != identities("a", ["bc"])[0]
