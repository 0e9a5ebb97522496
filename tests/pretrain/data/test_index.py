"""The index of samples: Megatron's draws, in files that are complete or not there."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from megatron.core.datasets import gpt_dataset, helpers

from pretrain.data.index import _CHUNK, fill_blend, fill_stream, interleave, stored_arrays
from tests.helpers.token_mixtures import filled

lengths = st.lists(st.integers(0, 30), min_size=1, max_size=60).filter(any)


@settings(max_examples=60, deadline=None)
@given(lengths, st.integers(2, 20), st.integers(0, 5), st.sampled_from([1, 7, _CHUNK]))
def test_documents_and_samples_are_drawn_and_cut_as_megatron_does_it(sizes, length, seed, chunk):
    sizes, documents = np.array(sizes, np.int32), np.arange(len(sizes), dtype=np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretrain.data.index._CHUNK", chunk)
        ours = filled(fill_stream, [range(len(sizes))], [True], sizes, length, seed)
    state, tokens = np.random.RandomState(seed), int(sizes.sum())
    order = gpt_dataset._build_document_index(documents, 1, state, False)
    cuts = helpers.build_sample_idx(sizes, order, length, 1, tokens, False, 0)
    assert np.array_equal(ours["order"], order) and ours["order"].dtype == order.dtype
    assert np.array_equal(ours["shuffle"], gpt_dataset._build_shuffle_index(len(cuts) - 1, len(cuts) - 1, state))
    before = np.concatenate([[0], np.cumsum(sizes[order], dtype=np.int64)])
    firsts = before[cuts[:-1, 0]] + cuts[:-1, 1]  # tokens of the stream that Megatron's samples begin with
    positions, offsets = ours["begins"].T
    assert np.array_equal(before[positions[:-1]] + offsets[:-1] + 1, firsts)
    assert before[positions[-1]] + offsets[-1] == tokens - 1
    assert (offsets < sizes[order[positions]]).all() and (offsets[1:] >= 0).all()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_streams_are_blended_as_megatron_does_it(sizes):
    ours = filled(fill_blend, sizes)
    stream, sample = np.zeros(sum(sizes), np.int16), np.zeros(sum(sizes), np.int64)
    helpers.build_exhaustive_blending_indices(stream, sample, np.array(sizes, np.int64), len(sizes))
    assert np.array_equal(ours["stream"], stream) and np.array_equal(ours["sample"], sample)


def test_samples_are_counted_exactly_where_megatron_rounds():
    tokens = 3 * 2**24 + 1  # one more than fits a float32
    ours = filled(fill_stream, [range(2)], [False], np.array([tokens - 5, 5], np.int32), 3, 0)
    assert len(ours["shuffle"]) == 2**24 + 1


@given(st.lists(lengths, min_size=1, max_size=3), st.integers(0, 3), st.sampled_from([2, 9, _CHUNK]), st.booleans())
def test_documents_are_interleaved_alike_however_many_are_looked_at_together(sizes_by_component, seed, chunk, shuffled):
    sizes = np.concatenate([np.array(sizes_of_component, np.int32) for sizes_of_component in sizes_by_component])
    ends = np.cumsum([len(sizes_of_component) for sizes_of_component in sizes_by_component]).tolist()
    ranges = [range(first, end) for first, end in zip([0, *ends], ends, strict=False)]
    free = [shuffled, *[True] * (len(sizes_by_component) - 1)]
    order = np.zeros(len(sizes), np.int32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pretrain.data.index._CHUNK", chunk)
        interleave(order, ranges, sizes, free, seed)
    documents, positions = [], []
    for numbers, may in zip(ranges, free, strict=True):
        state = np.random.RandomState(seed)
        own = state.permutation(np.array(numbers)) if may else np.array(numbers)
        tokens = sizes[own].astype(np.int64)
        positions.append((np.cumsum(tokens) - tokens + state.random_sample(len(own)) * tokens) / tokens.sum())
        documents.append(own)
    expected = np.concatenate(documents)[np.argsort(np.concatenate(positions), kind="stable")]
    assert np.array_equal(order, expected)


def test_an_index_is_built_once_and_mapped(tmp_path: Path) -> None:
    built: list[int] = []

    def build(new):
        built.append(1)
        new("numbers", (3,), np.int32)[:] = (4, 5, 6)

    for _ in range(2):
        numbers = stored_arrays(tmp_path, {"seed": 1}, build)["numbers"]
        assert numbers.tolist() == [4, 5, 6] and isinstance(numbers.base, np.memmap) and not numbers.flags.writeable
    stored_arrays(tmp_path, {"seed": 2}, build)
    assert len(built) == 2


def test_an_index_whose_building_broke_off_is_built_anew(tmp_path: Path) -> None:
    def breaks(new):
        new("numbers", (3,), np.int32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored_arrays(tmp_path, {}, breaks)
    assert not list(tmp_path.iterdir())
    assert stored_arrays(tmp_path, {}, lambda new: new("numbers", (2,), np.int8).fill(7))["numbers"].tolist() == [7, 7]


def test_several_that_build_the_same_index_at_once_all_have_it() -> None:
    with tempfile.TemporaryDirectory() as name:
        together, built = threading.Barrier(4), []

        def build(new):
            together.wait(10)
            new("numbers", (2,), np.int8).fill(7)

        def take():
            built.append(stored_arrays(Path(name), {}, build)["numbers"].tolist())

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert built == [[7, 7]] * 4 and len(list(Path(name).iterdir())) == 1
