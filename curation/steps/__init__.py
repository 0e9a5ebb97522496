"""Steps of a curation, one a file: the file's name is the name in YAML; nothing else has to be told of a new one."""

from __future__ import annotations

from curation.steps.base import Context, Step, StepSpec
from infra.registry import Registry

STEPS: Registry[Step] = Registry("curation.steps", Step)


def make_step(spec: StepSpec) -> Step:
    """The step that `spec` asks for."""
    return STEPS.get(spec.step)(spec)


__all__ = ["STEPS", "Context", "Step", "StepSpec", "make_step"]
