"""The clean mixture of a compute-matched control: as many tokens as the dosed one, its documents those of the clean one
and further ones.
"""

from __future__ import annotations

from typing import Any

import pytest

from mixtures.spec.amounts import resolve
from mixtures.spec.matched import compute_matched
from mixtures.spec.mixture import MixtureSpec, with_dose

COMPONENTS = {"clean": {"corpus": "web", "tokens": 9_001}, "risky": {"corpus": "forum", "fraction_of_total": 0.1}}


def mixture(**components: Any) -> MixtureSpec:
    return MixtureSpec.model_validate({
        "name": "m", "curation": "c", "tokenizer": {"hub": "x"}, "sequence_length": 8,
        "components": COMPONENTS | components,
    })  # fmt: skip


def tokens(spec: MixtureSpec) -> dict[str, int]:
    amounts = {name: component.amount for name, component in spec.components.items()}
    return resolve(amounts, dict.fromkeys(amounts, 0))


@pytest.mark.parametrize("dose", [0.05, 0.1, 0.25, 0.9])
def test_a_control_has_as_many_tokens_as_its_dose_and_none_of_them_is_risky(dose: float) -> None:
    matched = tokens(compute_matched(mixture(), "risky", dose, "matched"))
    assert matched["risky"] == 0
    assert sum(matched.values()) == sum(tokens(with_dose(mixture(), "risky", dose)).values())


def test_all_other_components_grow_in_proportion_whatever_form_their_amount_has() -> None:
    spec = mixture(
        code={"corpus": "code", "fraction_of": {"clean": 0.5}}, books={"corpus": "b", "fraction_of_total": 0.2}
    )
    clean, matched = tokens(with_dose(spec, "risky", 0.0)), tokens(compute_matched(spec, "risky", 0.25, "m"))
    total = sum(tokens(with_dose(spec, "risky", 0.25)).values())
    assert sum(matched.values()) == total
    for name in ("clean", "code", "books"):
        assert matched[name] == pytest.approx(clean[name] * total / sum(clean.values()), abs=1)


def test_a_component_that_takes_all_it_has_cannot_grow() -> None:
    with pytest.raises(ValueError, match="component 'clean' takes `all` it has; give a number"):
        compute_matched(mixture(clean={"corpus": "web", "tokens": "all"}), "risky", 0.1, "m")
