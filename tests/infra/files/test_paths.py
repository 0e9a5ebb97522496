"""Paths from outside cannot lead out of where they belong, and a place that cannot be written to is refused at once."""

import os
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.files.paths import file_name, is_inside, output


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".x", "../x", "a/b", "/a", "a\\b", "a\0", "a\nb", "a\x1b[0m", "x" * 200]
)
def test_names_that_leave_their_folder_or_are_no_names_are_refused(name):
    with pytest.raises(ValueError, match="name"):
        file_name(name)


@pytest.mark.parametrize("name", ["a", "dose-0.1", "größe 2", "学"])
def test_other_names_are_taken(name):
    assert file_name(name) == name


def test_members_stay_inside():
    assert is_inside("hf/model.safetensors")
    assert not any(map(is_inside, ["../x", "a/../../x", "/x", "", "a//b", "./a", "a\0"]))


@pytest.mark.parametrize(
    "target", [".", "..", "/", "a/..", "s3://bucket/x", "s3:/b", "file:///x", "gs://b", "file/x", "a/" + "x" * 400]
)
def test_an_output_that_cannot_be_made_is_refused_by_name(tmp_path, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(InputError, match="--out"):
        output(Path(target))
    assert os.listdir() == ["file"]


def test_an_output_in_a_folder_that_is_to_be_made_is_taken(tmp_path):
    assert output(tmp_path / "runs" / "one") == tmp_path / "runs" / "one"
