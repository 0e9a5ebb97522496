"""What a mixture will hold and take, before it is built."""

from __future__ import annotations

from pathlib import Path

from curation.corpus.risk_levels import THRESHOLDS
from infra.render.page import Plan, Table
from mixtures.planning.forecast import Forecast, Foreseen, foresee
from mixtures.spec.mixture import ComponentSpec, MixtureSpec

_COLUMNS = ("component", "requested", "available", "taken", "repetitions", "documents", "held out", "MB on disk")
_BYTES_PER_TOKEN = 3  # uint16 token and risk byte
_BYTES_PER_DOCUMENT = 40  # in the indices of tokens and risk


def plan_mixture(spec: MixtureSpec, store: Path | None = None) -> Plan:
    """Plan a mixture: exactly when its tokens artifacts are in `store` (default: beside the curation artifact).

    Raises InputError and AmountError, each with everything that is missing.
    """
    return plan_of(spec, foresee(spec, store))


def plan_of(spec: MixtureSpec, foreseen: Foreseen) -> Plan:
    """The plan as tables: components, and how many of their tokens reach which risk."""
    about = "" if foreseen.exact else "about "
    label = "components" if foreseen.exact else "components (estimated)"
    rows = tuple(_row(spec.components[forecast.name], forecast) for forecast in foreseen.components)
    tables = [Table(label, _COLUMNS, rows)]
    if any(forecast.risky is not None for forecast in foreseen.components):
        tables.append(_risk_table(spec.risk or "risk", foreseen))
    samples = f"{foreseen.samples(spec.sequence_length):,} samples of {spec.sequence_length} tokens in an epoch"
    title = f"mixture {spec.name}: {about}{foreseen.tokens:,} tokens"
    return Plan(title, tuple(tables), (*foreseen.notes, samples, *_left_out(spec)))


def _row(component: ComponentSpec, forecast: Forecast) -> tuple[object, ...]:
    size = forecast.taken * _BYTES_PER_TOKEN + forecast.documents * _BYTES_PER_DOCUMENT
    return (
        forecast.name,
        _requested(component),
        forecast.available,
        forecast.taken,
        round(forecast.repetitions, 4),
        forecast.documents,
        forecast.held_out,
        round(size / 1e6, 1),
    )


def _risk_table(attribute: str, foreseen: Foreseen) -> Table:
    """Tokens taken that reach each threshold: what a loss policy with that threshold would act on."""
    rows = tuple((forecast.name, *(forecast.risky or ("-",) * len(THRESHOLDS))) for forecast in foreseen.components)
    kind = "" if foreseen.exact else ", by the average of the whole corpus"
    return Table(f"tokens by {attribute}{kind}", ("component", *(f"≥ {threshold:g}" for threshold in THRESHOLDS)), rows)


def _left_out(spec: MixtureSpec) -> tuple[str, ...]:
    sets = spec.decontaminate.against if spec.decontaminate else ()
    return (f"documents that hold text of {', '.join(sets)} are left out",) if sets else ()


def _requested(component: ComponentSpec) -> str:
    if component.fraction_of_total is not None:
        return f"{component.fraction_of_total} of total"
    if component.fraction_of is not None:
        return " ".join(f"{ratio} of {other}" for other, ratio in component.fraction_of.items())
    return "all" if component.tokens == "all" else f"{component.tokens:,}"
