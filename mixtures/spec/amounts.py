"""Token amounts: exact integers from tokens, `all`, shares of the whole and shares of another component, in rational
arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from infra.config.faults import nearest
from infra.errors import AmountError


@dataclass(frozen=True)
class Amount:
    """What a component asks for: `tokens`, or every token once (`everything`), or `fraction` of the mixture's total,
    or, where `of` names another component, `fraction` of that one's tokens.
    """

    tokens: int | None = None
    everything: bool = False
    fraction: Fraction | None = None
    of: str | None = None


@dataclass(frozen=True)
class Supply:
    """What a component could have: tokens of its training documents, and how often they may be repeated."""

    tokens: int
    max_epochs: int

    @property
    def cap(self) -> int:
        """Most tokens the component can give."""
        return self.tokens * self.max_epochs


def parse_fraction(value: float | str) -> Fraction:
    """Read 0.1, "0.1" or "1/3" as the rational number it says (0.1 is one tenth). Raises ValueError."""
    try:
        return Fraction(repr(value) if isinstance(value, float) else value)
    except (ValueError, ZeroDivisionError, TypeError):
        raise ValueError(f'a share is a number such as 0.1 or "1/3", not {value!r}') from None


def resolve(amounts: Mapping[str, Amount], available: Mapping[str, int]) -> dict[str, int]:
    """Tokens of each component, in the order given.

    Shares of the total: with F fixed tokens and shares f, the total is F / (1 - sum f), so 10 % over 20.1 B fixed
    tokens makes 22.333 B. The total is rounded to the nearest token, and the shares' tokens sum exactly to what is left
    (largest remainder; ties go to the earlier component). A share of another component is a share of what that one
    exactly asks for: of fixed tokens, rounded by itself, so that no other component's amount moves it; of a share of
    the total, a share of the total in turn. Raises AmountError.
    """
    shares = shares_of_total(amounts)
    fixed = {name: _fixed(name, amounts, available) for name in amounts if name not in shares}
    share = sum(shares.values(), Fraction(0))
    if share and not sum(fixed.values()):
        raise AmountError(f"components: the share of {', '.join(shares)} needs a component with tokens of its own")
    total = Fraction(sum(fixed.values())) / (1 - share)
    rounded = apportion([total * fraction for fraction in shares.values()], round_half_up(total) - sum(fixed.values()))
    shared = dict(zip(shares, rounded, strict=True))
    return {name: fixed[name] if name in fixed else shared[name] for name in amounts}


def shares_of_total(amounts: Mapping[str, Amount]) -> dict[str, Fraction]:
    """The components whose amounts hang on the mixture's total, and their shares of it.

    Raises AmountError when a share is of a component that is not there, when shares refer to each other in a circle,
    and when they leave no room for fixed tokens.
    """
    roots = {name: _root(name, amounts) for name in amounts}
    shares = {name: factor for name, (root, factor) in roots.items() if amounts[root].fraction is not None}
    share = sum(shares.values(), Fraction(0))
    if share >= 1:
        raise AmountError(
            f"the shares of {', '.join(shares)} sum to {float(share):g} of the total; they must stay below 1, to leave "
            "room for fixed tokens"
        )
    return shares


def _root(name: str, amounts: Mapping[str, Amount]) -> tuple[str, Fraction]:
    """The component at the end of a chain of `of`, and the factor between its tokens (a share of the total counts as
    that share) and those of `name`.
    """
    chain, factor = [name], Fraction(1)
    while True:
        amount = amounts[chain[-1]]
        factor *= Fraction(1) if amount.fraction is None else amount.fraction
        if amount.of is None:
            return chain[-1], factor
        if amount.of not in amounts:
            hint = nearest(amount.of, amounts)
            raise AmountError(f"{chain[-1]}: fraction_of: there is no component {amount.of!r}{hint}")
        if amount.of in chain:
            circle = " -> ".join([*chain[chain.index(amount.of) :], amount.of])
            raise AmountError(f"fraction_of: {circle} is a circle; give one of them tokens or a fraction_of_total")
        chain.append(amount.of)


def apportion(quotas: Sequence[Fraction], total: int) -> list[int]:
    """Integers that sum to `total`, each within one of its quota (largest-remainder method)."""
    integers = [int(quota) for quota in quotas]
    by_remainder = sorted(range(len(quotas)), key=lambda i: (integers[i] - quotas[i], i))
    for index in by_remainder[: total - sum(integers)]:
        integers[index] += 1
    return integers


def round_half_up(value: Fraction) -> int:
    """Nearest integer of a value at or above 0."""
    return int(value + Fraction(1, 2))


def refuse_nothing(amounts: Mapping[str, Amount], available: Mapping[str, int], requested: Mapping[str, int]) -> None:
    """Raise one AmountError for all shares above 0 that come to no token: doses of 0 under another name."""
    lost = [name for name in amounts if not requested[name] and _of_something(name, amounts, available)]
    if lost:
        reason = "its share comes to less than half a token, and so to none; ask for more, or for 0"
        raise AmountError("\n".join(f"components.{name}: {reason}" for name in lost))


def _of_something(name: str, amounts: Mapping[str, Amount], available: Mapping[str, int]) -> bool:
    """Whether it asks for a share above 0 of some tokens."""
    if amounts[name].fraction is None:
        return False
    root, factor = _root(name, amounts)
    tokens = available[root] if amounts[root].everything else amounts[root].tokens
    return bool(factor) and (amounts[root].fraction is not None or bool(tokens))


def check(requested: Mapping[str, int], supplies: Mapping[str, Supply]) -> None:
    """Raise one AmountError that names every component which asks for more than it may have."""
    short = [name for name, tokens in requested.items() if tokens > supplies[name].cap]
    if short:
        raise AmountError("\n".join(_shortage(name, requested[name], supplies[name]) for name in short))


def _fixed(name: str, amounts: Mapping[str, Amount], available: Mapping[str, int]) -> int:
    root, factor = _root(name, amounts)
    tokens = available[root] if amounts[root].everything else int(amounts[root].tokens or 0)
    return round_half_up(factor * tokens)


def _shortage(name: str, requested: int, supply: Supply) -> str:
    cap = f"max_epochs {supply.max_epochs} allows {supply.cap:,}"
    if not supply.tokens:
        return f"components.{name}: not enough tokens: asked for {requested:,}, and no document is left for training"
    needed = -(-requested // supply.tokens)
    short = f"{requested - supply.cap:,} short; ask for less, add documents, or set max_epochs: {needed}"
    return f"components.{name}: not enough tokens: asked for {requested:,}, available {supply.tokens:,}, {cap}, {short}"
