"""`kind: study`: the grid of doses × loss policies × seeds × recipes × budgets or strengths, in one file.

The sections `curation`, `mixture`, `pretrain` and `analysis` are those of the single kinds without the keys that the
study itself fills in (which artifact comes in, which dose, policy and seed).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import core_schema

from analysis.published import Published
from analysis.spec import NO_DOCUMENTS, AnalysisSpec
from analysis.study.checkpoints import CheckpointsSpec, check_checkpoints
from analysis.study.cited import check_ours
from analysis.study.grid import Budgets, Grid, RecipeGrid
from curation.spec import CurationSpec
from infra.config.faults import nearest
from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.spec import FileName, Location, Seed, Spec, distinct
from infra.errors import InputError
from mixtures.spec.matched import check_matchable
from mixtures.spec.mixture import MixtureSpec, RiskySpansSpec
from posttrain.spec import LabelledSpec
from posttrain.tuning.spec import TuneSpec
from pretrain.launchers.options import LauncherSpec, LocalSpec, RaySpec, SlurmSpec
from pretrain.loss.spec import Loss
from pretrain.spec import PretrainSpec

T = TypeVar("T")

_MEASURED = {
    "name": "analysis",
    "model": ".",
    "mixture": ".",
    "recipe": (),
    "alias": None,
    "cost_from": None,
    "launcher": "local",
}
Control = Literal["compute_matched"]


def _as_steps(value: Any) -> Any:
    return {"steps": value} if isinstance(value, (list, tuple)) else value


Checkpoints = Annotated[
    CheckpointsSpec, BeforeValidator(_as_steps, json_schema_input_type=tuple[int, ...] | CheckpointsSpec)
]

_TUNED = {"name": "tune", "model": ".", "seed": 0, "launcher": "local"}


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
    risky_spans: Annotated[dict[FileName, RiskySpansSpec], OnlyIfSet] = Field(default_factory=dict)
    """Further arms by name, beside those of the policies: what becomes of the risky spans of `dose_of` before training,
    as in SLUNG's low-risk arm. They are trained under the first policy, at every dose above 0.
    """
    controls: Annotated[tuple[Control, ...], AfterValidator(distinct), OnlyIfSet] = ()
    """Arms to compare with that are no part of the grid. compute_matched: for every dose above 0 a clean model that
    trains on as many tokens as that dose's, further clean ones in place of the risky: risky text comes on top of the
    clean, so that part of what it brings may be the longer training.
    """
    checkpoints: Annotated[Checkpoints | None, OnlyIfSet] = None
    """Optimizer steps after which every arm is measured too, as a list or with what is measured there."""
    published: Annotated[tuple[Published, ...], OnlyIfSet] = ()
    """What papers report, beside which the report sets what came out here; figures of theirs enter none of ours."""
    steps_in: Annotated[Location | None, NotIdentity] = None
    """Folder in which the artifacts of the steps lie; several studies may name one, and what one of them has made the
    others take. Default: `steps/` in the study's own folder.
    """
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
    tunes: Annotated[dict[FileName, Annotated[TuneSpec, Filled(**_TUNED)]], NotIdentity] = Field(default_factory=dict)
    """Changes of a model's weights by name, which rows of `methods:` steer instead of the pretrained model. Held-out
    documents are those of the arm's mixture, whatever `mixture:` says.
    """
    budgets: Budgets = Field((0.02, 0.05, 0.1, 0.2), min_length=1)
    """Nats per token at which the methods are measured that name neither budgets nor strengths."""
    methods: dict[FileName, RecipeGrid] = Field(default_factory=dict)
    """Steering recipes by name. Plain decoding is always among them, as `none`."""
    analysis: Annotated[AnalysisSpec, Filled(**_MEASURED), NotIdentity]
    """What is measured."""
    steps_on: Annotated[Literal["here", "launcher"], NotIdentity] = "here"
    """Where tunes, fits and measurements are made: by this command, or by the launcher of `pretrain`, one process with
    a GPU for each.
    """
    ce_budget: float = Field(0.1, gt=0)
    """Cross-entropy that a recipe of the answer may cost, in nats per token."""
    ce_budget_of: Literal["own", "clean"] = "own"
    """What it is counted from: the arm's own unsteered model, which is what budgets are found for, or the clean
    unsteered arm. The report shows both.
    """

    def identity(self) -> dict[str, Any]:
        """The study's own keys, the policies as they are written; all else is in the fingerprints of its steps."""
        return super().identity() | {"policies": self.model_dump(mode="json", include={"policies"})["policies"]}

    @property
    def launcher_of_steps(self) -> LauncherSpec:
        """What makes tunes, fits and measurements."""
        return LocalSpec() if self.steps_on == "here" else self.pretrain.launcher.for_one_process()

    @field_validator("methods")
    @classmethod
    def _known_methods(cls, value: dict[str, RecipeGrid], info: ValidationInfo) -> dict[str, RecipeGrid]:
        try:
            return {name: grid.resolved(name, info.data.get("budgets", ())) for name, grid in value.items()}
        except InputError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _steps_have_a_cluster(self) -> StudySpec:
        if self.steps_on == "launcher" and not isinstance(self.pretrain.launcher, (RaySpec, SlurmSpec)):
            name = self.pretrain.launcher.name
            raise ValueError(f"steps_on: `launcher` needs `pretrain.launcher` to be slurm or ray; it is {name}")
        return self

    @model_validator(mode="after")
    def _arms_can_be_made(self) -> StudySpec:
        if twice := sorted(self.risky_spans.keys() & self.policies.keys()):
            raise ValueError(f"risky_spans: {twice[0]!r} is the name of a policy; tables could not tell them apart")
        if self.checkpoints is not None:
            check_checkpoints(self.checkpoints, self.pretrain, self.methods, self.analysis)
        if self.controls and self.dose_of in self.mixture.components:
            check_matchable(self.mixture, self.dose_of)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> StudySpec:
        if self.dose_of not in self.mixture.components:
            raise ValueError(f"dose_of: the mixture has no component {self.dose_of!r}")
        if bad := [dose for dose in self.doses if not 0 <= dose < 1]:
            raise ValueError(f"doses: {bad[0]} is not a fraction of the total in [0, 1)")
        if any(grid.budgets for grid in self.methods.values()) and not self.analysis.leaves_documents:
            raise ValueError(f"analysis: {NO_DOCUMENTS}")
        for published in self.published:
            check_ours(published, self.doses, (*self.policies, *self.risky_spans), self.methods, self.controls)
        named = {name for grid in self.methods.values() for name in grid.tunes}
        if unknown := sorted(named - self.tunes.keys()):
            raise ValueError(f"methods: no {unknown[0]!r} among `tunes`{nearest(unknown[0], self.tunes)}")
        if idle := sorted(self.tunes.keys() - named):
            raise ValueError(
                f"tunes: no row of `methods` uses {idle[0]!r}; add `NAME: {{method: none, tune: {idle[0]}}}`"
            )
        return self
