"""A registry finds what lies in its package by file name, and imports nothing before it is asked."""

import sys
import textwrap

import pytest

from infra.errors import InputError
from infra.registry import Registry


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package = tmp_path / "things_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("class Thing:\n    pass\n")
    for name in ("apple", "pear"):
        source = f"from things_for_test import Thing\nclass Any{name}(Thing):\n    name = {name!r}\n"
        (package / f"{name}.py").write_text(textwrap.dedent(source))
    (package / "_hidden.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    import things_for_test

    yield Registry("things_for_test", things_for_test.Thing)
    for name in [name for name in sys.modules if name.startswith("things_for_test")]:
        del sys.modules[name]


def test_names_come_from_files_without_importing_them(registry):
    assert registry.names() == ["apple", "pear"]
    assert "things_for_test.apple" not in sys.modules


def test_getting_a_thing_imports_only_that_thing(registry):
    assert registry.get("apple").name == "apple"
    assert "things_for_test.pear" not in sys.modules


def test_an_unknown_name_is_refused_with_the_nearest(registry):
    with pytest.raises(InputError, match='no thing "aple"; there are: apple, pear; did you mean "apple"'):
        registry.get("aple")
