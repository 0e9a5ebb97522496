"""What of a section belongs to a fingerprint: said at the key, computed here.

A key belongs to it as it stands, a path by its last part alone (where somebody keeps his files is no matter), unless
one of the marks below is annotated to it: `name: Annotated[str, NotIdentity]`.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_NAMED = ("hf:", "wheel:", "synthetic:", "tune:")
"""How locations begin that are names and no paths."""


class NotIdentity:
    """The key changes how or where the work is done and no byte of it; or it names an input, whose content counts."""


class OnlyIfSet:
    """The key is younger than fingerprints of its section, which stay as they are: it counts where it is not at its
    default.
    """


class InOrder:
    """The order of the names in this mapping counts: it is a list of sections, each with its `name`."""


class LastPart:
    """The value is a path or URL, of which the last part counts."""


def identity_of(section: BaseModel) -> dict[str, Any]:
    """The keys of a section that belong to a fingerprint, as plain data; sections in it say themselves what of them."""
    return {
        name: _plain(getattr(section, name), info.annotation, info.metadata)
        for name, info in type(section).model_fields.items()
        if _counts(info, getattr(section, name))
    }


def is_marked(info: FieldInfo, mark: type) -> bool:
    """Whether a key bears a mark."""
    return mark in info.metadata


def _counts(info: FieldInfo, value: object) -> bool:
    return not is_marked(info, NotIdentity) and not (
        is_marked(info, OnlyIfSet) and value == info.get_default(call_default_factory=True)
    )


def _plain(value: Any, annotation: Any, marks: Iterable[Any]) -> Any:
    if isinstance(value, BaseModel):
        return own_identity(value)
    if isinstance(value, str) and (LastPart in marks or _names_path(annotation)):
        return value if value.startswith(_NAMED) else value.rstrip("/").rpartition("/")[2]
    if isinstance(value, (list, tuple)):
        return [_plain(item, annotation, ()) for item in value]
    if isinstance(value, Mapping):
        plain = {key: _plain(item, annotation, ()) for key, item in value.items()}
        return [{"name": key} | item for key, item in plain.items()] if InOrder in marks else plain
    return value


def own_identity(section: BaseModel) -> dict[str, Any]:
    """What a section says of itself, if it is a `Spec`."""
    identity: Any = getattr(section, "identity", None)
    return identity() if callable(identity) else identity_of(section)


def _names_path(annotation: Any) -> bool:
    """Whether a path stands anywhere inside a type."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is Annotated and LastPart in arguments[1:]:
        return True
    return any(_names_path(inner) for inner in arguments)
