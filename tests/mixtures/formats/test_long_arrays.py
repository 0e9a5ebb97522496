"""Arrays that are as long as a corpus: kept in files, computed in chunks, and the same as in memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixtures.building import build as building
from mixtures.formats import long_arrays
from mixtures.reading.built import BuiltMixture
from tests.helpers.tagged_corpora import build, mixture_spec


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_arrays, "LONG", 7)


@pytest.mark.parametrize("small", [10**9, 0], ids=["in this process", "handed to workers"])
def test_a_mixture_whose_arrays_are_in_files_has_the_same_bytes(
    curation: Path,
    mixture: BuiltMixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_chunks: None,
    small: int,
) -> None:
    monkeypatch.setattr(building, "SMALL", small)
    made: list[int] = []
    new = long_arrays.new
    monkeypatch.setattr(long_arrays, "new", lambda count, dtype: made.append(count) or new(count, dtype))
    rebuilt = build(mixture_spec(curation), tmp_path / "m")
    assert max(made) > 20 * long_arrays.LONG
    names = {file.relative_to(mixture.path) for file in mixture.path.rglob("*") if file.is_file()}
    assert {file.relative_to(rebuilt.path) for file in rebuilt.path.rglob("*") if file.is_file()} == names
    for name in names - {Path("artifact.json")}:
        if name.suffix != ".parquet":
            assert (rebuilt.path / name).read_bytes() == (mixture.path / name).read_bytes(), name
    assert _rows(rebuilt) == _rows(mixture)


def _rows(mixture: BuiltMixture) -> list[dict]:
    import pyarrow.parquet as pq

    return pq.read_table(mixture.path / "documents.parquet").to_pylist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**63, 2**64 - 1]), max_size=60))
def test_the_order_of_hashes_is_that_of_a_stable_sort(tiny_chunks: None, values: list[int]) -> None:
    keys = np.array(values, np.uint64)
    indices = long_arrays.order(len(keys), lambda chunk: keys[chunk])
    assert indices.tolist() == np.argsort(keys, kind="stable").tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=40))
def test_what_is_computed_in_chunks_is_what_numpy_says(tiny_chunks: None, pairs: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in pairs], np.int64)
    mask = np.array([flag for _, flag in pairs], np.bool_)
    assert long_arrays.where(mask).tolist() == np.flatnonzero(mask).tolist()
    assert long_arrays.running(values).tolist() == np.cumsum(values).tolist()
    positions = np.arange(len(values))[::-1].copy()
    assert long_arrays.take(values, positions).tolist() == values[::-1].tolist()
    assert long_arrays.keep(positions, mask).tolist() == [position for position in positions if mask[position]]
    assert long_arrays.mask_of(np.flatnonzero(mask), len(mask)).tolist() == mask.tolist()


def test_an_array_travels_by_name_and_what_is_computed_of_it_by_value(tmp_path: Path, tiny_chunks: None) -> None:
    with long_arrays.mapped_in(tmp_path / "arrays"):
        whole = long_arrays.new(5000, np.int64)
        whole[:] = np.arange(5000)
        assert len(pickle.dumps(whole)) < 1000
        arrived, excerpt = pickle.loads(pickle.dumps(whole)), pickle.loads(pickle.dumps(whole[10:20]))
        assert arrived.tolist() == list(range(5000)) and excerpt.tolist() == list(range(10, 20))
        assert (pickle.loads(pickle.dumps(whole + 1)) == np.arange(1, 5001)).all()
    assert not (tmp_path / "arrays").exists()
