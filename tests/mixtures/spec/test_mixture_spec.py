"""What a mixture's YAML may say, and what it is told when it says something else.

Covers mixtures.spec.mixture.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.config.spec import validate
from infra.config.yaml_reader import read_yaml
from infra.errors import ConfigError
from mixtures.spec.mixture import MixtureSpec, tokenizer_stage_spec, with_dose
from tests.helpers import ROOT
from tests.helpers.tagged_corpora import mixture_data

EXAMPLE = ROOT / "examples" / "mixture.yaml"


def components(**clean: object) -> dict[str, object]:
    return {"clean": {"corpus": "clean", **clean}, "risky": {"corpus": "forum", "fraction_of_total": 0.1}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"components": {}}, "needs at least one"),
        ({"components": components()}, "say how much"),
        ({"components": components(tokens=5, fraction_of_total=0.1)}, "say how much"),
        ({"components": components(tokens=-5)}, "greater than or equal to 0"),
        ({"components": components(tokens=1.5)}, "valid integer"),
        ({"components": components(tokens="many")}, "all"),
        ({"components": components(fraction_of_total=1.0)}, "between 0 and 1"),
        ({"components": components(fraction_of_total=-0.1)}, "between 0 and 1"),
        ({"components": components(fraction_of_total="a lot")}, "a share is a number"),
        ({"components": components(fraction_of_total=0.95)}, "must stay below 1"),
        ({"components": components(fraction_of={"risky": 0.1})}, "at least one needs tokens of its own"),
        ({"components": components(fraction_of={"clean": 0.1})}, "clean -> clean is a circle"),
        ({"components": components(fraction_of={"riskyy": 0.1})}, "no component 'riskyy'.*did you mean .risky"),
        ({"components": components(fraction_of={"risky": 1.5})}, "between 0 and 1; turn it round"),
        ({"components": components(fraction_of={"risky": 0.1, "clean": 0.1})}, "names one component"),
        ({"components": components(tokens=5, fraction_of={"risky": 0.1})}, "in one way"),
        ({"components": components(tokens=5, where="risky_share < 0.1")}, "train on another component"),
        ({"components": components(tokens=5, where="risky_share(0) < 0.1")}, "threshold lies above 0"),
        ({"components": components(tokens=5, where="risky_share(toxicity) < 0.1")}, "not allowed here"),
        ({"components": components(tokens=5, where="risky_share < 0.1"), "risk": None}, "say which risk"),
        ({"components": components(tokens=5, risky_spans={"do": "cut"}), "risk": None}, "say which spans are at risk"),
        ({"components": components(tokens=5, risky_spans={"do": "keep"})}, "'cut' or 'replace'"),
        ({"components": components(tokens=5, order="random")}, "'shuffled' or 'corpus'"),
        ({"packing": {"together": "some"}}, "'component' or 'all'"),
        ({"components": components(fraction_of_total=0.5)}, "at least one needs tokens of its own"),
        ({"components": components(tokens=5, max_epochs=0)}, "greater than or equal to 1"),
        ({"components": components(tokens=5, where="__import__('os')")}, "not allowed here"),
        ({"components": {"a.b": {"corpus": "clean", "tokens": 5}}}, "pattern"),
        ({"hold_out": {"clen": 5}}, "no component 'clen'.*did you mean .clean"),
        ({"tokenizer": {}}, "exactly one of"),
        ({"tokenizer": {"file": "a.json", "hub": "b"}}, "exactly one of"),
        ({"tokenizer": {"file": "a.json", "revision": "main"}}, "hub tokenizer"),
        ({"tokenizer": {"train_bpe": {"component": "clen"}}}, "no component 'clen'"),
        ({"tokenizer": {"train_bpe": {"component": "clean", "vocab_size": 10}}}, "greater than or equal to 260"),
        ({"sequence_length": 1}, "greater than or equal to 2"),
        ({"sed": 1}, "Extra inputs"),
    ],
)
def test_what_a_mixture_may_not_say(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        MixtureSpec.model_validate(mixture_data(Path("runs/demo"), **changes))


@pytest.mark.parametrize("name", ["mixture-inst", "mixture-low-risk", "mixture-dose-25"])
def test_the_arms_among_the_examples_are_valid(name: str) -> None:
    spec = validate(read_yaml(EXAMPLE.with_name(f"{name}.yaml")), MixtureSpec)
    assert isinstance(spec, MixtureSpec) and spec.name == name and spec.seed == 0


def test_the_example_is_valid() -> None:
    spec = validate(read_yaml(EXAMPLE), MixtureSpec)
    assert isinstance(spec, MixtureSpec) and spec.curation.endswith("runs/demo")


def test_a_bad_file_is_told_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(EXAMPLE.read_text().replace("seed:", "sed:").replace("toxicity < 0.5", "toxicity <"))
    with pytest.raises(ConfigError) as caught:
        validate(read_yaml(file), MixtureSpec)
    line_numbers = {problem.where.rsplit(":", 1)[1] for problem in caught.value.problems}
    lines = file.read_text().splitlines()
    assert line_numbers == {
        str(n) for n, line in enumerate(lines, 1) if line.startswith("sed:") or "toxicity <" in line
    }


def test_a_dose_changes_one_component_and_nothing_else() -> None:
    spec = MixtureSpec.model_validate(mixture_data(Path("runs/demo")))
    dosed = with_dose(spec, "risky", 0.25, "dose-25")
    assert dosed.name == "dose-25" and dosed.components["risky"].fraction_of_total == 0.25
    assert with_dose(dosed, "risky", 0.1, spec.name) == spec
    assert tokenizer_stage_spec(dosed) == tokenizer_stage_spec(spec)


def test_a_dose_takes_the_place_of_any_other_amount() -> None:
    component_data = {
        "clean": {"corpus": "clean", "tokens": 100},
        "risky": {"corpus": "forum", "fraction_of": {"clean": 0.5}},
    }
    dosed = with_dose(
        MixtureSpec.model_validate(mixture_data(Path("runs/demo"), components=component_data)), "risky", 0.1
    )
    assert dosed.components["risky"].fraction_of is None and dosed.components["risky"].fraction_of_total == 0.1


def test_an_arm_is_its_base_with_one_line_changed() -> None:
    arm = validate(read_yaml(EXAMPLE.with_name("mixture-dose-25.yaml")), MixtureSpec)
    base = validate(read_yaml(EXAMPLE), MixtureSpec)
    assert isinstance(base, MixtureSpec) and arm == with_dose(base, "risky", 0.25, "mixture-dose-25")


def test_a_dose_of_an_unknown_component_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no component 'riskyy'.*did you mean .risky"):
        with_dose(MixtureSpec.model_validate(mixture_data(Path("runs/demo"))), "riskyy", 0.1)
