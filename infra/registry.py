"""One registry per kind of thing: the module's name is the thing's name, and it is imported only when asked for."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Annotated, Any, Generic, TypeVar, Union

from pydantic import Discriminator

from infra.errors import InputError
from infra.faults import nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Finds the subclass of `base` that lives in module `package.NAME`.

    Adding a thing means adding a file; nothing else has to be told.
    """

    def __init__(self, package: str, base: type[T]) -> None:
        self.package, self.base = package, base

    def names(self) -> list[str]:
        """Every name there is, without importing any of the modules."""
        spec = importlib.util.find_spec(self.package)
        assert spec is not None and spec.submodule_search_locations is not None, self.package
        modules = pkgutil.iter_modules(spec.submodule_search_locations)
        return sorted(module.name for module in modules if not module.name.startswith(("_", "base")))

    def get(self, name: str) -> type[T]:
        """Import and return the thing called `name`. Raises InputError with the nearest name."""
        names = self.names()
        if name not in names:
            what = self.base.__name__.lower()
            raise InputError(f'no {what} "{name}"; there are: {", ".join(names)}{nearest(name, names)}')
        module = importlib.import_module(f"{self.package}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, self.base) and value.__module__ == module.__name__:
                return value
        raise AssertionError(f"{module.__name__} defines no {self.base.__name__}")


def one_of(registry: Registry[Any], key: str) -> Any:
    """The YAML sections that the members of a registry declare as `options`, as one type, told apart by `key`."""
    members = [registry.get(name).options for name in registry.names()]
    return Annotated[Union[tuple(members)], Discriminator(key)] if len(members) > 1 else members[0]  # noqa: UP007
