"""What an evaluation is: rows of the results table about one subject (a model under a method at a strength).

Rows are *measured* with the model, which costs, and then *scored* by scorers, which costs little. What was measured is
an artifact of its own that no scorer and no label is part of, so another scorer measures nothing anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Protocol, TypeVar

from analysis.evaluations.options import ToxicitySpec
from infra.config.spec import Spec
from infra.stages.stage import Workspace
from posttrain.recipe import Recipe
from posttrain.spec import AnyLabelled, Device

if TYPE_CHECKING:
    from analysis.results import Row
    from posttrain.model import CausalModel
    from posttrain.steered import Steered

Options = TypeVar("Options", bound=Spec)
Read = Literal["mixture", "labelled", "generations"]


@dataclass(frozen=True)
class LazyModel:
    """A model that is loaded when it is first asked for."""

    location: str
    device: Device = "auto"

    @cached_property
    def loaded(self) -> CausalModel:
        """Raises what `posttrain.model.load_model` raises."""
        from posttrain.model import load_model

        return load_model(self.location, self.device)


class Measured(Protocol):
    """What an evaluation measured of a subject, or would."""

    def chunks(self) -> int:
        """How many chunks there are."""

    def rows(self, chunk: int) -> Sequence[Row]:
        """The rows of one, before any scorer."""


@dataclass(frozen=True)
class Generations:
    """What `toxicity` has the subject write, for evaluations that look at the same texts."""

    options: ToxicitySpec
    measured: Measured


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a model under a recipe, loaded once for all evaluations."""

    model: LazyModel
    workspace: Workspace
    recipe: Recipe = ()
    mixture: str | None = None
    labelled: AnyLabelled | None = None
    transfer: bool = False
    generations: Generations | None = None

    @property
    def steering(self) -> str | None:
        """The recipe's first method; None for the plain model."""
        return self.recipe[0].steering if self.recipe else None

    @cached_property
    def steered(self) -> Steered:
        """The model under its recipe. Raises what `posttrain.steered.load_steered` raises."""
        from posttrain.steered import load_steered

        return load_steered(self.model.loaded, self.recipe, transfer=self.transfer)


class Evaluation(ABC, Generic[Options]):
    """One way to measure. A new one has its options in `options.py`, a key in `analysis.spec` and a row here.

    Work is cut into chunks that do not depend on each other, so that a killed run takes up at the chunk it was in.
    """

    options: ClassVar[type[Spec]]
    """The YAML section of this evaluation."""
    version: ClassVar[int] = 1
    """Rises when the same options would measure something else than before; nothing measured earlier is then used."""
    reads: ClassVar[tuple[Read, ...]] = ("mixture", "labelled")
    """What of the subject `rows` reads beside the model; the rest is no part of what is measured."""

    def __init__(self, spec: Options, subject: Subject) -> None:
        self.spec, self.subject = spec, subject

    @staticmethod
    def identity(options: Any) -> dict[str, Any]:
        """What enters the fingerprint: options and the content of inputs, never paths."""
        return Spec.identity(options)

    @classmethod
    def measured_identity(cls, options: Any) -> dict[str, Any]:
        """What of `identity` changes what `rows` measures: all of it, unless the evaluation has scorers."""
        return cls.identity(options)

    @abstractmethod
    def chunks(self) -> int:
        """How many chunks there are for this subject (0: it does not apply)."""

    @abstractmethod
    def rows(self, chunk: int) -> list[Row]:
        """Measure one chunk, with the model; the subject's labels are added by the stage."""

    def load_scorers(self) -> None:
        """Load what `scored` needs: what cannot be had, or does not fit, is told before anything is measured."""

    def scored(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The measured rows of one chunk with what scorers say of them; without the model."""
        return rows

    def counts(self) -> dict[str, int]:
        """What the rows do not say: of what there was, how much was left out or cut. For the artifact's counts; asked
        when all is measured, while the model is there.
        """
        return {}
