"""Typed YAML: pydantic models, unknown keys refused with the nearest key, every problem at once with file:line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ValidationError,
    ValidationInfo,
)

from infra.config.document import YamlDocument
from infra.config.extends import Anchored
from infra.config.faults import nearest, problems_of
from infra.config.identity import LastPart, identity_of
from infra.config.yaml_reader import apply_override, read_yaml
from infra.errors import ConfigError, Problem
from infra.files.paths import absolute, file_name

S = TypeVar("S", bound=Sequence[Any])

_SCHEMES = ("hf:", "wheel:", "synthetic:", "tune:")


class Spec(BaseModel):
    """Base of every YAML section: frozen, and a key that is not declared is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )

    def identity(self) -> dict[str, Any]:
        """What of the section belongs to a fingerprint, as its keys are marked (see `infra.config.identity`). A
        section whose meaning is more than its keys (two ways to write one thing) says here what it means.
        """
        return identity_of(self)


def _absolute(value: object, info: ValidationInfo) -> object:
    base = value.folder if isinstance(value, Anchored) else (info.context or {}).get("base")
    if not isinstance(value, str) or base is None or "://" in value or value.startswith(_SCHEMES):
        if isinstance(value, str) and "\0" in value:
            raise ValueError("a path holds no NUL character")
        return value
    return str(absolute(value, Path(base)))


FileName = Annotated[str, AfterValidator(file_name)]
"""What a folder or file below the result is called; it cannot lead out of there."""

Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""A seed of draws; what generators of random numbers take."""

Location = Annotated[str, BeforeValidator(_absolute), LastPart]
"""A path or URL in YAML; relative paths are relative to the folder of the YAML file in which they stand."""


def distinct(values: S) -> S:
    """`values` if none stands twice; 1 and 1.0 are one. Raises ValueError."""
    if repeated := [value for value, count in Counter(values).items() if count > 1]:
        raise ValueError(f"{repeated[0]} stands more than once")
    return values


def keys_of(value: object) -> Iterable[str]:
    """The keys that a section has, written or read already; none of what is no section. For telling unions apart."""
    return value if isinstance(value, dict) else value.model_fields_set if isinstance(value, BaseModel) else ()


def form_of(value: object) -> Literal["section", "list", "value"]:
    """What a value is in YAML: tells the members of unions such as `str | Model` apart."""
    if isinstance(value, (Mapping, BaseModel)):
        return "section"
    return "list" if isinstance(value, (list, tuple)) else "value"


BY_FORM = Discriminator(form_of)


def validate(document: YamlDocument, model: type[Spec]) -> Spec:
    """Check a document against its model; raises one ConfigError with every problem."""
    data = {key: value for key, value in document.data.items() if key != "kind"}
    if "name" in model.model_fields:
        data.setdefault("name", document.path.stem)
    try:
        return model.model_validate(data, context={"base": str(document.path.resolve().parent)})
    except ValidationError as error:
        raise ConfigError(problems_of(error, document, model)) from None


def from_settings(model: type[Spec], settings: Iterable[str]) -> Spec:
    """A section from `a.b=c` alone, without a file. Raises ConfigError with every problem."""
    document = YamlDocument(Path("--set"), {})
    for setting in settings:
        apply_override(document, setting)
    return validate(document, model)


class Loaded(NamedTuple):
    """A file that is right: its kind, what it says, and on which lines."""

    kind: str
    spec: Spec
    document: YamlDocument


def load_spec(
    path: Path, kinds: Mapping[str, Callable[[], type[Spec]]], overrides: Iterable[str] = ()
) -> tuple[str, Spec]:
    """Read `path` and check it against the model of its `kind`; returns (kind, spec)."""
    return load_file(path, kinds, overrides)[:2]


def load_file(path: Path, kinds: Mapping[str, Callable[[], type[Spec]]], overrides: Iterable[str] = ()) -> Loaded:
    """The same, with the document, so that what is met later can be told with its line."""
    document = read_yaml(path, overrides)
    kind = document.data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        hint = nearest(str(kind), kinds) if kind is not None else ""
        message = f"{'missing' if kind is None else repr(kind)}; allowed: {', '.join(kinds)}{hint}"
        raise ConfigError([Problem(document.locate(("kind",)), "kind", message)])
    return Loaded(kind, validate(document, kinds[kind]()), document)
