"""Documents that a component repeats stay epochs apart; the order of later epochs is no other seed's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pretrain.data.index import fill_stream
from pretrain.data.repetitions import Repeated
from pretrain.data.schedule import Epoch, schedule_of
from tests.helpers.token_mixtures import filled


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=8, max_size=40),
    times=st.floats(1.1, 3.5),
    length=st.integers(2, 14),
    seed=st.integers(0, 9),
    together=st.booleans(),
)
@example(sizes=[1, 1, 1, 2, 9, 9, 9, 9, 9], times=2.25, length=3, seed=1, together=False)  # a last part of two tokens
def test_repetitions_follow_each_other_and_never_share_a_sample(sizes, times, length, seed, together):
    distinct, count = len(sizes), int(len(sizes) * times)
    lengths = np.resize(np.array(sizes, np.int32), count + 5)  # five documents of another part behind them
    documents = [range(count), range(count, count + 5)] if together else [range(count)]
    repeated = [Repeated(0, distinct), None][: len(documents)]
    ours = filled(fill_stream, documents, [True] * len(documents), lengths, length, seed, repeated)
    order = ours["order"].tolist()
    assert sorted(order) == list(range(sum(map(len, documents))))
    own = [document for document in order if document < count]
    assert [document // distinct for document in own] == sorted(document // distinct for document in own)
    assert sorted(ours["shuffle"].tolist()) == list(range(len(ours["shuffle"])))
    if sum(sizes) < 4 * length + 4 * max(sizes):
        return  # too few other documents to stand between
    samples = np.repeat(order, lengths[order])
    for first in range(0, len(samples), length):
        whole = np.unique(samples[first : first + length])
        inside = whole[whole < count] % distinct
        assert len(set(inside.tolist())) == len(inside)


def test_a_part_that_begins_inside_a_repetition_is_split_where_the_files_begin_anew():
    assert Repeated(10, 4).split(range(12, 21)) == [range(12, 14), range(14, 18), range(18, 21)]


def test_later_epochs_have_orders_that_no_other_seed_has():
    seeds = [Epoch(number, False, 1).order_seed(seed) for seed in range(50) for number in range(6)]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**32 for seed in seeds)
    first = schedule_of(((64,), ()), 8, 3, 2)[0]
    assert [first.order_seed(seed) for seed in (0, 1, 2024)] == [0, 1, 2024]  # as they were before there was a hash


@pytest.mark.parametrize("together", [False, True])
def test_without_repetitions_the_order_is_as_it_was(together):
    lengths = np.arange(1, 30, dtype=np.int32)
    documents = [range(20), range(20, 29)] if together else [range(29)]
    plain = filled(fill_stream, documents, [True] * len(documents), lengths, 8, 3)
    told = filled(fill_stream, documents, [True] * len(documents), lengths, 8, 3, [None] * len(documents))
    assert all(np.array_equal(plain[name], told[name]) for name in plain)
