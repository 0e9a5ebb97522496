"""Steering methods, one file each."""

from infra.registry import Registry
from posttrain.methods.base import Method

METHODS: Registry[Method] = Registry("posttrain.methods", Method)  # type: ignore[type-abstract]
