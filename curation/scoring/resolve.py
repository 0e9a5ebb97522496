"""Settings that depend on the machine that scores: a scorer's device, number format and batch.

Where the command's own machine scores, it is asked before anything else, and its answers are part of the fingerprint. A
login or head node cannot say what the workers of a cluster have: there the fingerprint says `worker`, the first worker
is asked, and all others, and a resumed run, go by its answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from curation.classify.devices import has_gpu
from curation.scorers import SCORERS
from curation.scorers.options import ScorerSpec
from infra.config.spec import Spec

S = TypeVar("S", bound=Spec)


def resolved(spec: S) -> S:
    """`spec` with every scorer in it made definite by this machine, at whatever depth. Raises InputError,
    UnavailableError.
    """
    return _changed(spec, lambda scorer: SCORERS.get(scorer.name).resolved(scorer))


def deferred(spec: S) -> S:
    """`spec` with what depends on the machine left to a worker, in every scorer, at whatever depth."""
    return _changed(spec, lambda scorer: SCORERS.get(scorer.name).deferred(scorer))


def on_this_machine(spec: S) -> S:
    """`spec` as workers of this machine run it: resolved where processors score; left to them where a GPU may, since
    Ray hides it from those that asked for none. Raises InputError, UnavailableError.
    """
    return deferred(spec) if any(_may_take_a_gpu(scorer) for scorer in scorers_in(spec)) else resolved(spec)


def scorers_in(spec: Spec) -> list[ScorerSpec]:
    """Every scorer in `spec`, at whatever depth; the members of an ensemble, not the ensemble."""
    seen: list[ScorerSpec] = []

    def look(scorer: ScorerSpec) -> ScorerSpec:
        seen.append(scorer)
        return scorer

    _changed(spec, look)
    return seen


def with_scorers(spec: S, scorers: Iterable[ScorerSpec]) -> S:
    """`spec` with `scorers` in place of what `scorers_in` gives."""
    following = iter(scorers)
    return _changed(spec, lambda _: next(following))


def _may_take_a_gpu(scorer: ScorerSpec) -> bool:
    return getattr(scorer, "device", None) == "auto" and has_gpu()


def _changed(spec: S, change: Callable[[ScorerSpec], ScorerSpec]) -> S:
    """The same object where nothing in it changes."""
    values = {name: getattr(spec, name) for name in type(spec).model_fields}
    changed = {name: new for name, value in values.items() if (new := _changed_value(value, change)) is not value}
    new = spec.model_copy(update=changed) if changed else spec
    return cast(S, change(new)) if isinstance(new, ScorerSpec) and not _has_members(new) else new


def _changed_value(value: Any, change: Callable[[ScorerSpec], ScorerSpec]) -> Any:
    if isinstance(value, Spec):
        return _changed(value, change)
    if isinstance(value, (tuple, list)):
        items = [_changed_value(item, change) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
    if isinstance(value, dict):
        entries = {key: _changed_value(item, change) for key, item in value.items()}
        return value if all(entries[key] is item for key, item in value.items()) else entries
    return value


def _has_members(scorer: ScorerSpec) -> bool:
    return hasattr(scorer, "scorers")
