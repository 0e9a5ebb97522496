"""The clean mixture with as many tokens as a dosed one: what a compute-matched control trains on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mixtures.spec.amounts import apportion, resolve
from mixtures.spec.mixture import AMOUNTS, MixtureSpec, with_dose


def compute_matched(spec: MixtureSpec, component: str, dose: float, name: str) -> MixtureSpec:
    """The mixture without `component` and with as many tokens as at `dose`: all others grow in proportion.

    A component takes its documents in one order, so that the documents of the clean mixture are the first of this one.
    Raises ValueError where a component takes all that it has, and so cannot grow.
    """
    check_matchable(spec, component)
    clean = with_dose(spec, component, 0.0, name)
    tokens, total = _tokens(clean), sum(_tokens(with_dose(spec, component, dose)).values())
    quotas = [Fraction(total * amount, sum(tokens.values())) for amount in tokens.values()]
    data: dict[str, Any] = clean.model_dump()
    for key, amount in zip(tokens, apportion(quotas, total), strict=True):
        if key != component:  # its dose of 0 stays, as in the clean mixture
            data["components"][key] |= dict.fromkeys(AMOUNTS) | {"tokens": amount}
    return MixtureSpec.model_validate(data)


def check_matchable(spec: MixtureSpec, component: str) -> None:
    """Raises ValueError where a component other than `component` takes all that it has."""
    whole = [name for name, other in spec.components.items() if name != component and other.tokens == "all"]
    if whole:
        raise ValueError(
            f"controls: compute_matched adds clean tokens, and component {whole[0]!r} takes `all` it has; give a number"
        )


def _tokens(spec: MixtureSpec) -> dict[str, int]:
    amounts = {name: component.amount for name, component in spec.components.items()}
    return resolve(amounts, dict.fromkeys(amounts, 0))
