"""What the YAML of `kind: posttrain` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, model_validator

from infra.errors import InputError
from infra.spec import FileName, Location, Seed, Spec, keys_of, nearest
from posttrain.methods import METHODS

Device = Literal["auto", "cpu", "cuda"]
"""Where a model runs: `auto` takes the GPU of the machine that does the work, if there is one."""


class LabelledSpec(Spec):
    """Labelled text out of the documents that a mixture holds out, the same documents in every arm of a study."""

    mixture: Location
    """Mixture artifact."""
    unit: Literal["line", "document"] = "line"
    """Lines are labelled by their highest span, documents by their score."""
    attribute: str = "toxicity"
    """Attribute whose spans or scores decide."""
    at_or_above: float = Field(default=0.5, ge=0, le=1)
    """Score from which a text counts as toxic."""
    per_class: int = Field(default=400, ge=10)
    """Texts of each class; balanced, drawn by the seed."""
    min_words: int = Field(default=3, ge=1)
    """Shorter lines are left out."""


class LabelledFileSpec(Spec):
    """Labelled text from JSON Lines."""

    path: Location
    """File or URL, .gz and .zst too."""
    text: str = "text"
    """Key of the text."""
    label: str = "label"
    """Key of the label: true, false or a score from 0 to 1."""
    at_or_above: float = Field(default=0.5, gt=0, le=1)
    """Label from which a text counts as toxic."""
    per_class: int = Field(default=400, ge=10)
    """Texts of each class; balanced, drawn by the seed."""


def _source(value: object) -> str:
    return "file" if "path" in keys_of(value) else "mixture"


AnyLabelled = LabelledSpec | LabelledFileSpec

if TYPE_CHECKING:
    MethodArgs = Spec
else:
    # Every method's own arguments, so that the JSON Schema knows them all and a new method file is enough.
    MethodArgs = Annotated[
        reduce(or_, [METHODS.get(name).args for name in METHODS.names()]), Field(discriminator="name")
    ]


def method_spec(name: str, options: Mapping[str, Any]) -> Spec:
    """Arguments of the method `name`. Raises InputError naming the key that is wrong."""
    args = METHODS.get(name).args
    if unknown := sorted(options.keys() - args.model_fields.keys()):
        allowed = sorted(args.model_fields.keys() - {"name"})
        hint = nearest(unknown[0], allowed)
        raise InputError(f"method {name}: {unknown[0]}: unknown key; allowed: {', '.join(allowed) or 'none'}{hint}")
    try:
        return args.model_validate({**options, "name": name})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"method {name}: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class PosttrainSpec(Spec):
    """Fit one steering method on one model. Strength is no part of it: one fit serves every strength."""

    name: FileName
    """Name of the artifact: runs/NAME."""
    model: Location
    """Pretrain artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    method: Annotated[MethodArgs, BeforeValidator(_named)]
    """Steering method with its arguments; a bare name takes the defaults."""
    labelled: (
        Annotated[
            Annotated[LabelledSpec, Tag("mixture")] | Annotated[LabelledFileSpec, Tag("file")],
            Discriminator(_source),
        ]
        | None
    ) = None
    """Labelled text to fit on; methods that need none ignore it."""
    seed: Seed = 0
    """Draws the labelled texts, the folds and the random control direction."""
    device: Device = "auto"
    """Where the model runs; no part of the fingerprint. auto: a GPU where there is one, in bfloat16."""

    @property
    def method_name(self) -> str:
        """Name of the method."""
        return str(self.method.model_dump()["name"])

    @property
    def needs_labels(self) -> bool:
        """Whether the method is fitted on labelled text."""
        return METHODS.get(self.method_name).needs_labels

    @model_validator(mode="after")
    def _labels_present(self) -> PosttrainSpec:
        if self.needs_labels and self.labelled is None:
            raise ValueError(f"the method {self.method_name} is fitted on labelled text: give `labelled:`")
        return self
