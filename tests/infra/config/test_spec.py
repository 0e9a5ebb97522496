"""A wrong file is described completely, each problem with its line, its key and what is allowed.

Covers infra.config.spec, infra.config.document, infra.config.yaml_reader and infra.config.faults.
"""

import time
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from infra.config.spec import Location, Spec, load_spec
from infra.errors import ConfigError, InputError


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
    messages = problems(tmp_path, text)
    assert any(
        message.startswith("/demo.yaml:4: components.a.pth: unknown key") and 'mean "path"' in message
        for message in messages
    )
    assert any(message.startswith("/demo.yaml:3: components.a.path: is required") for message in messages)
    assert any(message.startswith("/demo.yaml:5: components.a.share:") and "it is 2" in message for message in messages)
    assert any(message.startswith("/demo.yaml:6: components.b.tokens:") and "'many'" in message for message in messages)
    assert any(
        message.startswith("/demo.yaml:7: extr: unknown key") and 'mean "extra"' in message for message in messages
    )


def test_items_of_lists_are_located(tmp_path):
    messages = problems(tmp_path, "kind: demo\ncomponents: {}\nextra:\n  - path: a\n  - path: b\n    share: -1\n")
    assert messages[0].startswith("/demo.yaml:6: extra[1].share:")


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


def _laughs(depth: int) -> str:
    lines = ["kind: demo", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, depth)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: demo\na: " + "[" * 5000, "nested more than 100 deep"),
        ("kind: demo\na: &a [*a]\n", "no end"),
        ("kind: demo\na: &a {<<: *a}\n", "no end"),
        (_laughs(12), "repeated by aliases"),
        ("kind: demo\na: [" + "1," * 100_000 + "]", "more than 60,000 values"),
        ("kind: demo\na: " + "9" * 5000, "not a number"),
        ("kind: demo\na: 0x" + "f" * 5000, "not a number"),
        ("kind: demo\na: 2020-99-99", "not a number or date"),
        ("kind: demo\na: !!set {x}", "the tag set"),
        ('kind: demo\na: "\\ud800"', "half a character"),
        ("kind: demo\n? [a]\n: 1\n", "a key is"),
    ],
)
def test_what_no_configuration_holds_is_one_problem_at_once(tmp_path, text, words):
    started = time.process_time()
    assert words in problems(tmp_path, text)[0]
    assert time.process_time() - started < 5  # the limit: some 40 times what it takes


def test_a_file_that_holds_data_is_refused_before_it_is_parsed(tmp_path):
    (tmp_path / "demo.yaml").write_text("kind: demo\n" + "# a comment\n" * 900_000)
    with pytest.raises(InputError, match="larger than 512 kB"):
        load_spec(tmp_path / "demo.yaml", KINDS)


def test_twenty_thousand_wrong_values_are_told_with_their_lines(tmp_path):
    started = time.process_time()
    messages = problems(tmp_path, "kind: demo\nname: a\ncomponents: {}\nextra:\n" + "- 1\n" * 20_000)
    assert len(messages) == 20_000 and messages[-1].startswith("/demo.yaml:20004: extra[19999]")
    assert time.process_time() - started < 5


def test_merge_keys_take_over_a_mapping_and_its_lines(tmp_path):
    text = "kind: demo\nname: a\ncomponents:\n  a: &a {path: x, share: 0.1}\n  b: {<<: *a, share: 0.2}\n"
    b = load(tmp_path, text).components["b"]
    assert (b.path, b.share) == (str(tmp_path / "x"), 0.2)


@pytest.mark.parametrize("path", ["~nosuchuser/x", '"a\\0b"'])
def test_a_path_that_cannot_be_is_a_problem_with_its_line(tmp_path, path):
    text = f"kind: demo\nname: a\ncomponents:\n  a:\n    path: {path}\n"
    assert problems(tmp_path, text)[0].startswith("/demo.yaml:5: components.a.path:")


@pytest.mark.parametrize("share", [".nan", ".inf", "-.inf", "1e999"])
def test_numbers_that_are_none_are_refused(tmp_path, share):
    text = f"kind: demo\nname: a\ncomponents: {{a: {{path: x, share: {share}}}}}\n"
    assert "finite number" in problems(tmp_path, text)[0]


@pytest.mark.parametrize("setting", ["extra.²=1", "extra." + "9" * 5000 + "=1", "name=[", "name=" + "9" * 5000])
def test_an_override_that_cannot_be_read_is_a_problem(tmp_path, setting):
    assert problems(tmp_path, "kind: demo\ncomponents: {}\nextra: []\n", [setting])[0].startswith("--set")


def test_what_an_override_replaced_is_not_blamed_on_the_file(tmp_path):
    text = "kind: demo\nname: a\ncomponents:\n  a: {path: x}\n"
    assert problems(tmp_path, text, ["components={a: {path: x, share: 3}}"])[0].startswith("--set components")
