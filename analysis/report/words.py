"""Arms, recipes and figures in the words of tables, tooltips and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.names import MATCHED
from analysis.statistics.verdict import strength_words


def percent(share: float) -> str:
    """A share without idle zeros, such as `2.5 %`."""
    return f"{100 * share:.3g} %"


def arm_words(dose: float, policy: str, mixture: str = "") -> str:
    """An arm in two words; a compute-matched control, which its mixture tells, with the dose whose tokens it has."""
    if mixture.startswith(MATCHED):
        return f"clean, as many tokens as {percent(float(mixture.removeprefix(MATCHED)))}"
    return "clean" if dose == 0 else f"{percent(dose)} {policy}"


def setting_words(row: Mapping[str, Any]) -> str:
    """A method with its setting, from a row of the frontier, such as `iti at 0.05 nats (strength 2.1 to 2.4)`."""
    if row["strength_high"] == 0 and row["budget"] is None:
        return str(row["method"])
    strength = strength_words(row["strength_low"], row["strength_high"])
    budget = row["budget"]
    return f"{row['method']} at {strength}" if budget is None else f"{row['method']} at {budget:g} nats ({strength})"


def unscored_words(row: Mapping[str, Any]) -> str:
    """How many generations have no score, nothing where all have one."""
    return f"{row['unscored']:,} of {row['generations']:,} unscored" if row.get("unscored") else ""


def interval(row: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """`value [low, high]`, or nothing where there is no value."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if value is None:
        return ""
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits and a true minus; nothing for None."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")
