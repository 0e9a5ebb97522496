"""A model under a recipe of steering methods: what generates and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from posttrain.continuations import Continuation, ContinuationScore, continuation_scores
from posttrain.cross_entropy import DocumentCrossEntropy, cross_entropy
from posttrain.decoding.sampling import Generation, Sampling, generate, prompt_room
from posttrain.fitted import Fitted, load_fitted
from posttrain.methods import METHODS
from posttrain.model import CausalModel, load_model
from posttrain.recipe import Recipe
from posttrain.spec import Device
from posttrain.stack import Stack

Progress = Callable[[int], object]

__all__ = [
    "Continuation",
    "ContinuationScore",
    "DocumentCrossEntropy",
    "Generation",
    "Sampling",
    "Steered",
    "bind",
    "bind_all",
    "load_steered",
]


@dataclass(frozen=True)
class Steered:
    """A model under a stack of methods. Strength 0 of any method, or no method, is the plain model."""

    stack: Stack

    @property
    def model(self) -> CausalModel:
        """The model that is steered."""
        return self.stack.model

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        progress: Progress | None = None,
        indices: Sequence[int] | None = None,
    ) -> list[list[Generation]]:
        """`sampling.samples` continuations of each prompt (the prompt is not in them), prompts in order.

        A continuation depends on model, recipe, prompt and (seed, prompt index, sample index) only. `indices` are the
        prompt indices when `prompts` is a part of a longer list. `progress` counts continuations.
        """
        return generate(self.stack, prompts, sampling, progress, indices)

    def cross_entropy(
        self,
        documents: Sequence[str],
        max_tokens_per_document: int | None = None,
        max_documents: int | None = None,
        progress: Progress | None = None,
    ) -> DocumentCrossEntropy:
        """Nats and tokens of each of the first `max_documents` documents; see posttrain.cross_entropy."""
        return cross_entropy(self.stack, list(documents[:max_documents]), max_tokens_per_document, progress)

    def cut_prompts(self, prompts: Sequence[str], max_new_tokens: int) -> int:
        """How many of the prompts lose their beginning, as they do not fit the context beside the new tokens."""
        room = prompt_room(self.stack, max_new_tokens)
        return sum(len(ids) > room for ids in self.model.encode(list(prompts)))

    def continuations(self, continuations: Sequence[Continuation]) -> list[ContinuationScore]:
        """Nats of what is asked to follow each context, and whether it is greedy; see posttrain.continuations."""
        return continuation_scores(self.stack, continuations)


def bind(model: CausalModel, fitted: Fitted | None, strength: float, transfer: bool = False) -> Steered:
    """Put a fitted method (None: no steering) on a loaded model. Raises InputError where they do not fit.

    One that was fitted on another model is refused, unless `transfer` says that this is meant.
    """
    return bind_all(model, [(fitted, strength)] if fitted else [], transfer)


def bind_all(model: CausalModel, fits: Sequence[tuple[Fitted, float]], transfer: bool = False) -> Steered:
    """Put several fitted methods with their strengths on a loaded model, to act together. Raises as `bind`."""
    for fitted, _ in fits:
        fitted.check_fits(model, transfer)
    methods = (METHODS.get(fitted.method)(model, fitted, strength) for fitted, strength in fits)
    return Steered(Stack.of(model, tuple(methods)))


def load_steered(
    model: str | Path | CausalModel, recipe: Recipe = (), device: Device = "auto", transfer: bool = False
) -> Steered:
    """Load a model (pretrain artifact, Hugging Face folder, hf:org/model) and the steering folders of a recipe.

    Give a CausalModel that is loaded already to put several recipes on it. A steering that was fitted on another model
    is refused, unless `transfer` says that this is meant.
    """
    loaded = model if isinstance(model, CausalModel) else load_model(str(model), device)
    return bind_all(loaded, [(load_fitted(entry.steering), entry.strength) for entry in recipe], transfer)


@dataclass(frozen=True)
class Column:
    """One column of a side-by-side comparison: a heading and a continuation of each prompt."""

    heading: str
    generations: tuple[Generation, ...]


def generate_side_by_side(
    model: str | Path,
    prompts: Sequence[str],
    recipes: Sequence[Recipe] = (),
    sampling: Sampling | None = None,
    device: Device = "auto",
    transfer: bool = False,
) -> list[Column]:
    """For `hormesis generate`: the plain model first, then under each recipe, same draws in all."""
    sampling = sampling or Sampling()
    loaded = load_model(str(model), device)
    columns = []
    for recipe in [(), *recipes]:
        fits = [(load_fitted(entry.steering), entry.strength) for entry in recipe]
        heading = " + ".join(f"{fitted.method} {strength:g}" for fitted, strength in fits) or "unsteered"
        generations = bind_all(loaded, fits, transfer).generate(prompts, sampling)
        columns.append(Column(heading, tuple(samples[0] for samples in generations)))
    return columns
