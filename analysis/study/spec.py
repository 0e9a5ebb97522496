"""`kind: study`: the grid of doses × loss policies × seeds × steering methods × strengths, in one file.

The sections `curation`, `mixture`, `pretrain` and `analysis` are those of the single kinds without the keys that the
study itself fills in (which artifact comes in, which dose, policy and seed).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import core_schema

from analysis.spec import AnalysisSpec
from curation.spec import CurationSpec
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Seed, Spec, distinct
from infra.errors import InputError
from mixtures.spec.mixture import MixtureSpec
from posttrain.spec import LabelledSpec, method_spec
from pretrain.loss.spec import Loss
from pretrain.spec import PretrainSpec

T = TypeVar("T")


class Filled:
    """Keys of a section that the study fills in: placeholders while checking, refused in the file and the schema."""

    def __init__(self, **placeholders: Any) -> None:
        self.placeholders = placeholders

    def fill(self, value: Any) -> Any:
        """Add the placeholders; raises ValueError if the file sets one of these keys."""
        if not isinstance(value, Mapping):
            return value
        if taken := sorted(self.placeholders.keys() & value.keys()):
            raise ValueError(f"{', '.join(taken)}: set by the study for each arm; take it out here")
        return {**self.placeholders, **value}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self.fill, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        section = handler.resolve_ref_schema(handler(schema))
        properties = {
            key: value for key, value in section.get("properties", {}).items() if key not in self.placeholders
        }
        required = [key for key in section.get("required", []) if key not in self.placeholders]
        return {**section, "properties": properties, "required": required}


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse two numbers that folders and tables would show alike."""
    distinct([f"{value:g}" for value in values])
    return values


Grid = Annotated[tuple[float, ...], AfterValidator(_distinct)]


class MethodGrid(Spec):
    """One steering method of a study and the strengths at which it is measured."""

    strengths: Grid = Field((), min_length=1)
    """Strengths to measure; what a strength means is the method's own (ITI: α, SASA: β; prompt and none have none), and
    so are those that are measured by default.
    """
    options: dict[str, Any] = Field(default_factory=dict)
    """The method's own keys, as in `kind: posttrain`."""


class StudySpec(Spec):
    """The whole study."""

    name: FileName = "study"
    """Name of the study; its folder is runs/NAME."""
    seeds: Annotated[tuple[Seed, ...], AfterValidator(distinct)] = Field((0, 1), min_length=1)
    """Training seeds (initial weights and order of the data); each arm is trained once per seed."""
    doses: Grid = Field((0.0, 0.1), min_length=1)
    """Risky tokens as a fraction of all training tokens, in [0, 1); the clean documents are the same in every arm."""
    dose_of: str = "risky"
    """The mixture's component that the doses vary."""
    policies: dict[FileName, Loss] = Field(min_length=1)
    """Loss policies by name. A dose of 0 is trained once, under the first of them."""
    curation: Annotated[CurationSpec, Filled(name="curation"), NotIdentity]
    """How the corpora are read, scored and tagged."""
    mixture: Annotated[MixtureSpec, Filled(name="mixture", curation="."), NotIdentity]
    """Components, tokenizer, sequence length and hold-out."""
    pretrain: Annotated[
        PretrainSpec, Filled(name="pretrain", mixture=".", seed=0, loss={"policy": "keep"}), NotIdentity
    ]
    """Model and training."""
    labelled: Annotated[LabelledSpec, Filled(mixture="."), NotIdentity]
    """Labelled text on which the methods and the probes are fitted: lines of the held-out documents."""
    methods: dict[str, MethodGrid] = Field(default_factory=lambda: {"none": MethodGrid(strengths=(1.0,))})
    """Steering methods by name."""
    analysis: Annotated[AnalysisSpec, Filled(name="analysis", model=".", mixture="."), NotIdentity]
    """What is measured."""
    ce_budget: float = Field(0.1, gt=0)
    """Cross-entropy a method may cost, in nats per token above the clean unsteered arm."""

    def identity(self) -> dict[str, Any]:
        """The study's own keys, the policies as they are written; all else is in the fingerprints of its steps."""
        return super().identity() | {"policies": self.model_dump(mode="json", include={"policies"})["policies"]}

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: dict[str, MethodGrid]) -> dict[str, MethodGrid]:
        grids = {}
        for name, grid in value.items():
            try:
                strengths = grid.strengths or method_spec(name, grid.options).strengths
            except InputError as error:
                raise ValueError(str(error)) from None
            grids[name] = grid.model_copy(update={"strengths": strengths})
        return grids

    @model_validator(mode="after")
    def _consistent(self) -> StudySpec:
        if self.dose_of not in self.mixture.components:
            raise ValueError(f"dose_of: the mixture has no component {self.dose_of!r}")
        if bad := [dose for dose in self.doses if not 0 <= dose < 1]:
            raise ValueError(f"doses: {bad[0]} is not a fraction of the total in [0, 1)")
        return self
