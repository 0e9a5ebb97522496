"""The rows of a study's `methods:`: recipes, each at several strengths or budgets. Light to import."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, PrivateAttr, ValidationInfo, model_validator

from infra.config.spec import FileName, Spec, distinct
from infra.errors import InputError
from posttrain.methods.options import MethodArgs
from posttrain.spec import method_spec

TUNE = "tune:"
"""How a model location names a tune of the study, as in `anti_expert: tune:toxic`."""


BESIDE = "-with-"
"""Between the names of a row and of a method that acts beside it, in the name of that method's fit."""


def _distinct(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse two numbers that folders and tables would show alike."""
    distinct([f"{value:g}" for value in values])
    return values


Grid = Annotated[tuple[float, ...], AfterValidator(_distinct)]
Positive = Annotated[float, Field(gt=0)]
Budgets = Annotated[tuple[Positive, ...], AfterValidator(_distinct)]


class FittedMethod(Spec):
    """A steering method with its options."""

    _folder: str | None = PrivateAttr(default=None)
    """Folder of the YAML file, which relative locations among the options are relative to."""

    method: str | None = None
    """Name of the method; its key unless given."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The method's own keys, as in `kind: posttrain`."""

    def args(self, key: str) -> MethodArgs:
        """The method's arguments. Raises InputError naming the key that is wrong."""
        return method_spec(self.method or key, self.options, self._folder)

    @model_validator(mode="after")
    def _know_the_folder(self, info: ValidationInfo) -> Self:
        self._folder = (info.context or {}).get("base")
        return self


class FixedMethod(FittedMethod):
    """A further method of a recipe, at one strength."""

    strength: float = Field(1.0, gt=0)
    """In the method's own unit."""


class RecipeGrid(FittedMethod):
    """A recipe of a study and the settings at which it is measured; its key is what tables call it."""

    strengths: Grid = Field((), min_length=1)
    """Strengths to measure, in the method's own unit, in place of budgets."""
    budgets: Budgets = Field((), min_length=1)
    """Nats per token that the recipe may cost above the unsteered model: the strength that does so is found on every
    model. The study's `budgets` unless given; a method that is on or off (prompt, none) has none.
    """
    with_: dict[FileName, FixedMethod] = Field(default_factory=dict, alias="with")
    """Further methods that act at the same time, by name."""
    tune: str | None = None
    """Row of `tunes:` whose model is steered; the model as it was pretrained unless given."""

    def resolved(self, key: str, budgets: tuple[float, ...]) -> RecipeGrid:
        """With its settings filled in, from the study's `budgets`. Raises InputError for what cannot be measured."""
        args = self.args(key)
        if key == "none" and (args.name != "none" or self.with_ or self.tune):
            raise InputError("the row none is plain decoding of the pretrained model; call this recipe something else")
        for name, fixed in self.with_.items():
            fixed.args(name)
        if BESIDE in key:
            raise InputError(f"{key}: a name with {BESIDE!r} in it is taken for the methods that act beside another")
        if self.budgets and not is_graded(args):
            raise InputError(
                f"the method {args.name} is on or off, so there is no strength to find: take `budgets` out"
            )
        if self.strengths or self.budgets:
            return self
        settings = {"budgets": budgets} if is_graded(args) else {"strengths": (1.0 if args.name != "none" else 0.0,)}
        return self.model_copy(update=settings)

    @property
    def tunes(self) -> set[str]:
        """Names of the tunes that the row needs."""
        named = {name for fitted in (self, *self.with_.values()) for _, name in tunes_in(fitted.options)}
        return named | ({self.tune} if self.tune is not None else set())

    @model_validator(mode="after")
    def _one_kind_of_setting(self) -> RecipeGrid:
        if self.strengths and self.budgets:
            raise ValueError("either `strengths` or `budgets`")
        return self


def is_graded(args: MethodArgs) -> bool:
    """Whether more strength does more: a method that is on or off has one strength by default."""
    return len(args.strengths) > 1


def tunes_in(options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, name) of the tunes that options give as model locations."""
    for key, value in options.items():
        if isinstance(value, str) and (named := re.fullmatch(rf"{TUNE}([\w.-]+)", value)):
            yield key, named[1]
