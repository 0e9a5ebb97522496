"""Launchers, one a file: what starts the processes of a training. The file's name is the name in YAML."""

from __future__ import annotations

from infra.registry import Registry
from pretrain.launchers.base import Launcher, LauncherSpec

LAUNCHERS: Registry[Launcher] = Registry("pretrain.launchers", Launcher)  # type: ignore[type-abstract]


def launcher_of(spec: LauncherSpec) -> Launcher:
    """The launcher that a section names."""
    return LAUNCHERS.get(spec.name)(spec)


__all__ = ["LAUNCHERS", "Launcher", "LauncherSpec", "launcher_of"]
