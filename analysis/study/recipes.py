"""What the rows of a study's `methods:` come to: the distinct fits on a model, and the recipes to measure on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.settings import Setting
from analysis.spec import MeasuredEntry
from analysis.study.grid import BESIDE, RecipeGrid, tunes_in
from analysis.study.spec import StudySpec
from posttrain.methods.options import MethodArgs

NONE = "none"


@dataclass(frozen=True)
class Fit:
    """One fit of a method on a model, which every strength, budget and stack of it shares."""

    name: str
    args: MethodArgs
    tune: str | None

    @property
    def named_tunes(self) -> frozenset[str]:
        """Tunes that its options give as model locations."""
        return frozenset(name for _, name in tunes_in(dict(self.args)))

    def args_with(self, tuned: Mapping[str, str]) -> MethodArgs:
        """The arguments with the folders of the tunes that they name."""
        return self.args.model_copy(update={key: tuned[name] for key, name in tunes_in(dict(self.args))})


@dataclass(frozen=True)
class RecipeEntry:
    """A fit in a recipe, at a strength or at a budget."""

    fit: str
    setting: Setting

    def measured(self, steering: str) -> MeasuredEntry:
        """The entry as `kind: analysis` takes it."""
        if self.setting.by_budget:
            return MeasuredEntry(steering=steering, budget=self.setting.value)
        return MeasuredEntry(steering=steering, strength=self.setting.value)


@dataclass(frozen=True)
class StudyRecipe:
    """One thing to measure on every arm: what tables call it, its setting, and what acts at the same time."""

    alias: str
    setting: Setting
    entries: tuple[RecipeEntry, ...] = ()
    tune: str | None = None


def fits_of(study: StudySpec) -> list[Fit]:
    """The distinct fits; one that several rows ask for has the name of the first."""
    fits: dict[tuple[str, str | None], Fit] = {}
    for key, grid in _rows(study).items():
        for name, args in _methods(key, grid).items():
            fits.setdefault((args.model_dump_json(), grid.tune), Fit(name, args, grid.tune))
    return list(fits.values())


def recipes_of(study: StudySpec) -> list[StudyRecipe]:
    """Every row at every setting; plain decoding comes first, as every frontier starts there."""
    fits = {(fit.args.model_dump_json(), fit.tune): fit.name for fit in fits_of(study)}
    recipes = [StudyRecipe(NONE, Setting(False, 0.0))]
    for key, grid in _rows(study).items():
        names = {name: fits[args.model_dump_json(), grid.tune] for name, args in _methods(key, grid).items()}
        fixed = [RecipeEntry(names[_beside(key, name)], Setting(False, member.strength))
                 for name, member in grid.with_.items()]  # fmt: skip
        for setting in _settings(grid):
            free = [RecipeEntry(names[key], setting)] if key in names else []
            recipes.append(StudyRecipe(key, setting, (*free, *fixed), grid.tune))
    return recipes


def _rows(study: StudySpec) -> dict[str, RecipeGrid]:
    return {key: grid for key, grid in study.methods.items() if key != NONE}


def _methods(key: str, grid: RecipeGrid) -> dict[str, MethodArgs]:
    """Name -> arguments of what a row fits: nothing for `none`."""
    own = grid.args(key)
    methods = {} if own.name == NONE else {key: own}
    return methods | {_beside(key, name): fixed.args(name) for name, fixed in grid.with_.items()}


def _beside(key: str, name: str) -> str:
    return f"{key}{BESIDE}{name}"


def _settings(grid: RecipeGrid) -> list[Setting]:
    return [Setting(True, value) for value in grid.budgets] + [Setting(False, value) for value in grid.strengths]
