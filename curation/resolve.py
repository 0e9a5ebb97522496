"""Settings that depend on the machine (a scorer's device and number format), made definite where a run starts."""

from __future__ import annotations

from typing import Any, TypeVar

from curation.scorers import SCORERS, ScorerSpec
from infra.spec import Spec

S = TypeVar("S", bound=Spec)


def resolved(spec: S) -> S:
    """`spec` with every scorer in it made definite, at whatever depth. Raises InputError, UnavailableError.

    To be asked in the process that starts a run, for its fingerprint and for what is sent to workers: a node with
    another processor would choose otherwise, and its bytes would differ.
    """
    if isinstance(spec, ScorerSpec):
        return SCORERS.get(spec.name).resolved(spec)
    values = {name: getattr(spec, name) for name in type(spec).model_fields}
    changed = {name: new for name, value in values.items() if (new := _resolved(value)) is not value}
    return spec.model_copy(update=changed) if changed else spec


def _resolved(value: Any) -> Any:
    """The same object where nothing in it changes."""
    if isinstance(value, Spec):
        return resolved(value)
    if isinstance(value, (tuple, list)):
        items = [_resolved(item) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
    if isinstance(value, dict):
        found = {key: _resolved(item) for key, item in value.items()}
        return value if all(found[key] is item for key, item in value.items()) else found
    return value
