"""What an evaluation is: rows of the results table about one subject (a model under a method at a strength)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from infra.config.spec import Spec
from infra.stages.stage import Workspace
from posttrain.recipe import RecipeEntry
from posttrain.spec import Device, LabelledSpec

if TYPE_CHECKING:
    from analysis.results import Row
    from posttrain.steered import Steered

Options = TypeVar("Options", bound=Spec)


@dataclass(frozen=True)
class Subject:
    """What is evaluated. The model is loaded when it is first asked for, and once for all evaluations."""

    model: str
    steering: str | None
    strength: float
    mixture: str | None
    labelled: LabelledSpec | None
    workspace: Workspace
    device: Device = "auto"
    transfer: bool = False

    @cached_property
    def steered(self) -> Steered:
        """The model under its method. Raises what `posttrain.steered.load_steered` raises."""
        from posttrain.steered import load_steered

        entries = [RecipeEntry(steering=self.steering, strength=self.strength)] if self.steering else []
        return load_steered(self.model, tuple(entries), self.device, self.transfer)


class Evaluation(ABC, Generic[Options]):
    """One way to measure. A new one has its options in `options.py`, a key in `analysis.spec` and a row here.

    Work is cut into chunks that do not depend on each other, so that a killed run takes up at the chunk it was in.
    """

    options: ClassVar[type[Spec]]
    """The YAML section of this evaluation."""

    def __init__(self, spec: Options, subject: Subject) -> None:
        self.spec, self.subject = spec, subject

    @staticmethod
    def identity(options: Any) -> dict[str, Any]:
        """What enters the fingerprint: options and the content of inputs, never paths."""
        return Spec.identity(options)

    @abstractmethod
    def chunks(self) -> int:
        """How many chunks there are for this subject (0: it does not apply)."""

    @abstractmethod
    def rows(self, chunk: int) -> list[Row]:
        """Measure one chunk; the subject's labels are added by the stage."""

    def counts(self) -> dict[str, int]:
        """What the rows do not say: of what there was, how much was left out or cut. For the artifact's counts."""
        return {}
