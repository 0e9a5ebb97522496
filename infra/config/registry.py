"""One table per kind of thing: from the name in YAML to what does it (a class, a stage), which is imported when it is
asked for, so that no command waits for the libraries of what it does not use.
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from infra.config.faults import nearest
from infra.errors import InputError

T = TypeVar("T")


def imported(location: str) -> Any:
    """What stands at `package.module:NAME`; its module is imported."""
    module, _, attribute = location.partition(":")
    return getattr(importlib.import_module(module), attribute)


def location_of(thing: type | Callable[..., Any]) -> str:
    """Where `imported` finds a class or function that stands at the top of its module."""
    return f"{thing.__module__}:{thing.__qualname__}"


class ImportTable(Generic[T]):
    """Things by name, written `package.module:NAME`; `what` is what messages call one of them."""

    def __init__(self, what: str, locations: Mapping[str, str]) -> None:
        self.what, self.locations = what, dict(locations)

    def names(self) -> list[str]:
        """Every name there is."""
        return list(self.locations)

    def get(self, name: str) -> T:
        """Import and return what is called `name`. Raises InputError with the nearest name."""
        if name not in self.locations:
            names = self.names()
            raise InputError(f'no {self.what} "{name}"; there are: {", ".join(names)}{nearest(name, names)}')
        return typing.cast(T, imported(self.locations[name]))


class Registry(ImportTable[type[T]]):
    """Classes by name, in the order of names."""

    def __init__(self, what: str, classes: Mapping[str, str]) -> None:
        super().__init__(what, dict(sorted(classes.items())))


def options_by_name(union: Any, key: str = "name") -> dict[str, type[BaseModel]]:
    """The members of a discriminated union by what stands under `key`."""
    while not all(isinstance(member, type) for member in typing.get_args(union)):
        union = typing.get_args(union)[0]  # what is annotated to it is no matter here
    return {typing.get_args(member.model_fields[key].annotation)[0]: member for member in typing.get_args(union)}
