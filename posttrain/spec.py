"""What the YAML of `kind: posttrain` may say. Imports nothing heavy: `validate` and `plan` come through here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from infra.config.faults import nearest
from infra.config.identity import NotIdentity, OnlyIfSet
from infra.config.registry import options_by_name
from infra.config.spec import FileName, Location, Seed, Spec, keys_of
from infra.errors import InputError
from posttrain.methods.options import AnyMethod, MethodArgs
from pretrain.launchers.options import LocalSpec, StepLauncher

Device = Literal["auto", "cpu", "cuda"]
"""Where a model runs: `auto` takes the GPU of the machine that does the work, if there is one."""


class LabelledSpec(Spec):
    """Labelled text out of the documents that a mixture holds out, the same documents in every arm of a study."""

    mixture: Annotated[Location, NotIdentity]
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
    seed: Annotated[Seed | None, OnlyIfSet] = None
    """Draws the texts. Default: the seed of what is fitted on them, or of the probes. Who shares texts shares one pass
    of the model over them; in a study the probes of an arm take its methods' texts.
    """

    def by(self, attribute: str) -> LabelledSpec:
        """The same documents, labelled by another attribute."""
        return self.model_copy(update={"attribute": attribute})


class LabelledFileSpec(Spec):
    """Labelled text from JSON Lines."""

    path: Annotated[Location, NotIdentity]
    """File or URL, .gz and .zst too."""
    text: str = "text"
    """Key of the text."""
    label: str = "label"
    """Key of the label: true, false or a score from 0 to 1."""
    at_or_above: float = Field(default=0.5, gt=0, le=1)
    """Label from which a text counts as toxic."""
    per_class: int = Field(default=400, ge=10)
    """Texts of each class; balanced, drawn by the seed."""
    seed: Annotated[Seed | None, OnlyIfSet] = None
    """Draws the texts. Default: the seed of what is fitted on them."""

    @property
    def attribute(self) -> str:
        """Name of what decides, as texts of a mixture have it."""
        return self.label

    def by(self, attribute: str) -> LabelledFileSpec:
        """The same texts, labelled by the key that is called like the attribute."""
        return self.model_copy(update={"label": attribute})


def _source(value: object) -> str:
    return "file" if "path" in keys_of(value) else "mixture"


AnyLabelled = LabelledSpec | LabelledFileSpec

LabelledSection = Annotated[
    Annotated[LabelledSpec, Tag("mixture")] | Annotated[LabelledFileSpec, Tag("file")], Discriminator(_source)
]
"""A section of either, told apart by its keys."""


def method_spec(name: str, options: Mapping[str, Any], folder: str | None = None) -> MethodArgs:
    """Arguments of the method `name`, its locations relative to `folder`. Raises InputError naming the wrong key."""
    methods = options_by_name(AnyMethod)
    if name not in methods:
        raise InputError(f'no method "{name}"; there are: {", ".join(methods)}{nearest(name, methods)}')
    args = methods[name]
    if unknown := sorted(options.keys() - args.model_fields.keys()):
        allowed = sorted(args.model_fields.keys() - {"name"})
        hint = nearest(unknown[0], allowed)
        raise InputError(f"method {name}: {unknown[0]}: unknown key; allowed: {', '.join(allowed) or 'none'}{hint}")
    try:
        return cast(MethodArgs, args.model_validate({**options, "name": name}, context={"base": folder}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([f"method {name}", *filter(None, [".".join(map(str, first["loc"]))])])
        raise InputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


class PosttrainSpec(Spec):
    """Fit one steering method on one model. Strength is no part of it: one fit serves every strength."""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    model: Annotated[Location, NotIdentity]
    """Pretrain or tune artifact, Hugging Face folder, or `hf:org/model` on the hub."""
    method: AnyMethod
    """Steering method with its arguments; a bare name takes the defaults."""
    labelled: LabelledSection | None = None
    """Labelled text to fit on; methods that need none ignore it."""
    seed: Seed = 0
    """Draws the labelled texts, the folds and the random control direction."""
    device: Annotated[Device, NotIdentity] = "auto"
    """Where the model runs; no part of the fingerprint. auto: a GPU where there is one, in bfloat16."""
    launcher: Annotated[StepLauncher, NotIdentity] = LocalSpec()
    """What does it: local, slurm or ray, as a name or with options; a process with a GPU."""

    def identity(self) -> dict[str, Any]:
        """As marked; a method that needs no labels is the same whatever labels and seed are given."""
        identity = super().identity()
        return identity if self.needs_labels else {"method": identity["method"]}

    @property
    def method_name(self) -> str:
        """Name of the method."""
        return self.method.name

    @property
    def needs_labels(self) -> bool:
        """Whether the method is fitted on labelled text."""
        return self.method.needs_labels

    @model_validator(mode="after")
    def _labels_present(self) -> PosttrainSpec:
        if self.needs_labels and self.labelled is None:
            raise ValueError(f"the method {self.method_name} is fitted on labelled text: give `labelled:`")
        return self


class BakedOptions(Spec):
    """What `hormesis export STEER --to hf` can be told."""

    strength: float = Field(gt=0)
    """Strength that is baked in (`--strength S`)."""
    model: Location | None = None
    """The model that the method was fitted on. Default: the artifact of its fingerprint beside the steering."""
