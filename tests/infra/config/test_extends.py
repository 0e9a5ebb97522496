"""A file that extends another says only what differs, and its problems are told where they stand."""

import pytest

from infra.config.spec import Location, Spec, load_spec
from infra.errors import ConfigError


class Part(Spec):
    path: Location
    share: float = 0.5


class Whole(Spec):
    name: str
    parts: dict[str, Part]
    tags: tuple[str, ...] = ()


BASE = "kind: demo\nname: base\nparts:\n  a: {path: a.txt, share: 0.1}\n  b: {path: b.txt}\ntags: [x, y]\n"


@pytest.fixture
def load(tmp_path):
    """Write files (by name) and load the last of them."""

    def run(*overrides, **files):
        for name, text in files.items():
            file = tmp_path / f"{name.replace('_in_', '/')}.yaml"
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return load_spec(file, {"demo": lambda: Whole, "other": lambda: Part}, overrides)[1]

    return run


def test_one_line_changes_one_value_and_the_rest_comes_from_the_other_file(load):
    spec = load(base=BASE, arm="kind: demo\nextends: base.yaml\nparts: {a: {share: 0.25}}\n")
    assert spec == load(arm="kind: demo\nparts: {a: {path: a.txt, share: 0.25}, b: {path: b.txt}}\ntags: [x, y]\n")
    assert spec.name == "arm"  # two arms must not be one run


def test_lists_are_replaced_and_null_takes_a_key_away(load):
    spec = load(base=BASE, arm="kind: demo\nextends: base.yaml\nparts: {b: null, a: {share: null}}\ntags: [z]\n")
    assert list(spec.parts) == ["a"] and spec.parts["a"].share == 0.5 and spec.tags == ("z",)


def test_a_path_stays_relative_to_the_file_that_says_it(load, tmp_path):
    third = "kind: demo\nextends: ../base.yaml\nparts: {c: {path: c.txt}}\n"
    spec = load(base=BASE, sub_in_middle=third, arm="kind: demo\nextends: sub/middle.yaml\nparts: {a: {share: 1}}\n")
    assert [entry.path for entry in spec.parts.values()] == [
        str(tmp_path / name) for name in ("a.txt", "b.txt", "sub/c.txt")
    ]


def test_an_override_comes_last(load):
    spec = load("parts.a.share=0.75", base=BASE, arm="kind: demo\nextends: base.yaml\nparts: {a: {share: 0.25}}\n")
    assert spec.parts["a"].share == 0.75


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"arm": "kind: demo\nextends: none.yaml\n"}, r"arm.yaml:2: extends: .*none.yaml: no such file"),
        ({"arm": "kind: demo\nextends: [a, b]\n"}, r"arm.yaml:2: extends: name one file"),
        ({"arm": "kind: demo\nextends: .\n"}, r"arm.yaml:2: extends: .*: (no such file|a folder)"),
        ({"arm": f"kind: demo\nextends: {'x' * 300}\n"}, r"arm.yaml:2: extends: .*name too long"),
        ({"arm": "kind: demo\nextends: ~nosuchuser/x.yaml\n"}, r"arm.yaml:2: extends: ~nosuchuser/x.yaml: .*home"),
        ({"arm": 'kind: demo\nextends: "a\\0b"\n'}, r"arm.yaml:2: extends: .*NUL"),
        ({"base": BASE.replace("base\n", "[[\n"), "arm": "kind: demo\nextends: base.yaml\n"}, r"base.yaml:\d+: "),
        ({"arm": "kind: demo\nextends: arm.yaml\n"}, r"arm.yaml -> arm.yaml is a circle"),
        (
            {"base": "kind: demo\nextends: arm.yaml\n", "arm": "kind: demo\nextends: base.yaml\n"},
            r"base.yaml:2: extends: arm.yaml -> base.yaml -> arm.yaml is a circle",
        ),
        ({"base": "kind: other\n", "arm": "kind: demo\nextends: base.yaml\n"}, r"'demo' cannot extend kind 'other'"),
        ({"base": BASE + "typo: 1\n", "arm": "kind: demo\nextends: base.yaml\n"}, r"base.yaml:7: typo: unknown key"),
        (
            {"base": BASE, "arm": "kind: demo\nextends: base.yaml\nparts: {a: {share: x}}\n"},
            r"arm.yaml:3: parts.a.share",
        ),
    ],
)
def test_what_cannot_be_extended_is_told_with_its_line(load, files, reason):
    with pytest.raises(ConfigError, match=reason):
        load(**files)


def test_a_file_that_is_no_text_cannot_be_extended(load, tmp_path):
    (tmp_path / "base.yaml").write_bytes("kind: demo\nname: größe\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"base.yaml.*UTF-8"):
        load(arm="kind: demo\nextends: base.yaml\n")


def test_a_row_of_files_has_an_end(load):
    row = {f"f{number}": f"kind: demo\nextends: f{number - 1}.yaml\n" for number in range(1, 60)}
    with pytest.raises(ConfigError, match=r"extends: more than 50 files that extend one another"):
        load(f0=BASE, **row)
