"""The `launcher:` section of a pretraining YAML: one of those that the launchers declare, told apart by `name`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BeforeValidator

from infra.registry import one_of
from pretrain.launchers import LAUNCHERS, LauncherSpec


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


if TYPE_CHECKING:
    AnyLauncher: TypeAlias = LauncherSpec
else:
    _options = one_of(LAUNCHERS, "name")
    AnyLauncher = Annotated[_options, BeforeValidator(_by_name, json_schema_input_type=str | _options)]
