"""Fingerprints depend on content alone."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts.fingerprint import canonical, digest, digest_file, digest_location

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_key_order_does_not_matter(value):
    assert digest(value) == digest(dict(reversed(value.items())))


@given(json_values, json_values)
def test_equal_encodings_mean_equal_values(one, other):
    if canonical(one) == canonical(other):
        assert one == other


def test_whole_floats_and_integers_differ():
    assert digest(1) != digest(1.0)
    assert digest(True) != digest(1)


@pytest.mark.parametrize("value", [Path("a"), {1, 2}, float("nan"), float("inf"), object(), {1: "a"}, b"x"])
def test_values_without_a_canonical_form_are_refused(value):
    with pytest.raises(TypeError):
        digest({"key": [value]})


def test_file_digest_ignores_name_and_time(tmp_path):
    (tmp_path / "a").write_text("same")
    (tmp_path / "b").write_text("same")
    (tmp_path / "c").write_text("other")
    assert digest_file(tmp_path / "a") == digest_location(str(tmp_path / "b"))
    assert digest_file(tmp_path / "a") != digest_file(tmp_path / "c")


def test_remote_location_has_an_identity():
    import fsspec

    filesystem = fsspec.filesystem("memory")
    filesystem.pipe("/corpus/a.txt", b"one")
    first = digest_location("memory://corpus/a.txt")
    filesystem.pipe("/corpus/a.txt", b"other and longer")
    assert digest_location("memory://corpus/a.txt") != first
