"""A wrong file is described completely, each problem with its line, its key and what is allowed."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from infra.errors import ConfigError, InputError
from infra.spec import Location, Spec, load_spec


class Inner(Spec):
    path: Location
    tokens: int | Literal["all"] = "all"
    share: float = Field(0.5, ge=0, le=1)


class Outer(Spec):
    name: str
    components: dict[str, Inner]
    extra: tuple[Inner, ...] = ()


KINDS = {"demo": lambda: Outer, "other": lambda: Inner}


def load(tmp_path, text, overrides=()):
    file = tmp_path / "demo.yaml"
    file.write_text(text)
    return load_spec(file, KINDS, overrides)[1]


def problems(tmp_path, text, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, overrides)
    return [str(problem).removeprefix(str(tmp_path)) for problem in caught.value.problems]


def test_a_right_file_is_typed_and_paths_are_relative_to_it(tmp_path):
    spec = load(
        tmp_path, "kind: demo\ncomponents:\n  a: {path: ../x.txt, tokens: 1_500_000}\n  b: {path: 's3://k/v'}\n"
    )
    assert spec.components["a"].path == str(tmp_path.parent / "x.txt")
    assert spec.components["a"].tokens == 1_500_000
    assert spec.components["b"].path == "s3://k/v"
    assert spec.name == "demo"


def test_all_problems_come_at_once_with_their_lines(tmp_path):
    text = "kind: demo\ncomponents:\n  a:\n    pth: x\n    share: 2\n  b: {path: x, tokens: many}\nextr: []\n"
    found = problems(tmp_path, text)
    assert any(
        each.startswith("/demo.yaml:4: components.a.pth: unknown key") and 'mean "path"' in each for each in found
    )
    assert any(each.startswith("/demo.yaml:3: components.a.path: is required") for each in found)
    assert any(each.startswith("/demo.yaml:5: components.a.share:") and "it is 2" in each for each in found)
    assert any(each.startswith("/demo.yaml:6: components.b.tokens:") and "'many'" in each for each in found)
    assert any(each.startswith("/demo.yaml:7: extr: unknown key") and 'mean "extra"' in each for each in found)


def test_items_of_lists_are_located(tmp_path):
    found = problems(tmp_path, "kind: demo\ncomponents: {}\nextra:\n  - path: a\n  - path: b\n    share: -1\n")
    assert found[0].startswith("/demo.yaml:6: extra[1].share:")


def test_unknown_kind_names_the_nearest(tmp_path):
    assert 'did you mean "demo"' in problems(tmp_path, "kind: demos\n")[0]
    assert "missing" in problems(tmp_path, "name: a\n")[0]


@pytest.mark.parametrize(
    "text",
    ["kind: [\n", "kind: demo\n a: b\n", "a: 1\na: 2\n", "- 1\n", "", "kind: demo\na: !!python/name:os.system x\n"],
)
def test_broken_yaml_is_one_clear_problem_with_its_line(tmp_path, text):
    assert problems(tmp_path, text)[0].startswith("/demo.yaml:")


def test_missing_and_binary_files_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_spec(tmp_path / "none.yaml", KINDS)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_spec(tmp_path / "b.yaml", KINDS)


def test_overrides_replace_values_and_are_named_when_wrong(tmp_path):
    text = "kind: demo\ncomponents:\n  a: {path: x}\n"
    assert load(tmp_path, text, ["components.a.share=0.25", "name=new"]).components["a"].share == 0.25
    assert load(tmp_path, text, ["components.b={path: y}"]).components["b"].tokens == "all"
    assert problems(tmp_path, text, ["components.a.shar=1"])[0].startswith(
        "--set components.a.shar=1: components.a.shar: unknown"
    )
    assert "key.key=value" in problems(tmp_path, text, ["nonsense"])[0]
    assert "nothing at" in problems(tmp_path, text + "name: a\n", ["name.x=1"])[0]


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers() | st.text(max_size=5) | st.none(), max_size=4))
def test_no_mapping_ends_in_anything_but_a_configuration_error(tmp_path_factory, data):
    import io

    from ruamel.yaml import YAML

    stream = io.StringIO()
    YAML().dump({"kind": "demo", **data}, stream)
    file = tmp_path_factory.mktemp("any") / "demo.yaml"
    file.write_text(stream.getvalue())
    with pytest.raises(ConfigError):
        load_spec(file, KINDS)
