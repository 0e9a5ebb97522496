"""A model under a steering method at one strength: what generates and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InputError
from posttrain.cross_entropy import DocumentCrossEntropy, cross_entropy
from posttrain.decoding.sampling import Generation, Sampling, generate
from posttrain.fitted import Fitted, load_fitted
from posttrain.methods import METHODS
from posttrain.methods.base import Method
from posttrain.methods.options import NoneArgs
from posttrain.model import CausalModel, load_model
from posttrain.spec import Device

Progress = Callable[[int], object]

__all__ = ["DocumentCrossEntropy", "Generation", "Sampling", "Steered", "bind", "load_steered"]


@dataclass(frozen=True)
class Steered:
    """A model and a method bound to it. Strength 0 of any method, or no method, is the plain model."""

    model: CausalModel
    method: Method

    def generate(
        self,
        prompts: Sequence[str],
        sampling: Sampling,
        progress: Progress | None = None,
        indices: Sequence[int] | None = None,
    ) -> list[list[Generation]]:
        """`sampling.samples` continuations of each prompt (the prompt is not in them), prompts in order.

        A continuation depends on model, method, prompt and (seed, prompt index, sample index) only. `indices` are the
        prompt indices when `prompts` is a part of a longer list. `progress` counts continuations.
        """
        return generate(self.model, self.method, prompts, sampling, progress, indices)

    def cross_entropy(
        self,
        documents: Sequence[str],
        max_tokens_per_document: int | None = None,
        max_documents: int | None = None,
        progress: Progress | None = None,
    ) -> DocumentCrossEntropy:
        """Nats and tokens of each of the first `max_documents` documents; see posttrain.cross_entropy."""
        chosen = list(documents[:max_documents])
        return cross_entropy(self.model, self.method, chosen, max_tokens_per_document, progress)


def bind(model: CausalModel, fitted: Fitted | None, strength: float) -> Steered:
    """Put a fitted method (None: no steering) on a loaded model. Raises InputError where they do not fit."""
    fitted = fitted or Fitted.of(model, NoneArgs(), {})
    fitted.check_fits(model)
    return Steered(model, METHODS.get(fitted.method)(model, fitted, strength))


def load_steered(
    model: str | Path | CausalModel,
    steering: str | Path | None = None,
    strength: float = 0.0,
    device: Device = "auto",
) -> Steered:
    """Load a model (pretrain artifact, Hugging Face folder, hf:org/model) and a steering folder.

    Give a CausalModel that is loaded already to bind several methods or strengths to it.
    """
    loaded = model if isinstance(model, CausalModel) else load_model(str(model), device)
    return bind(loaded, load_fitted(steering) if steering is not None else None, strength)


@dataclass(frozen=True)
class Column:
    """One column of a side-by-side comparison: a heading and a continuation of each prompt."""

    heading: str
    generations: tuple[Generation, ...]


def generate_side_by_side(
    model: str | Path,
    prompts: Sequence[str],
    steering: Sequence[str | Path] = (),
    strengths: Sequence[float] = (),
    sampling: Sampling | None = None,
    device: Device = "auto",
) -> list[Column]:
    """For `hormesis generate`: the plain model first, then each steering folder at its strength, same draws in all.

    One strength stands for all folders. Raises InputError when the numbers do not match.
    """
    sampling = sampling or Sampling()
    if len(strengths) == 1:
        strengths = [*strengths] * len(steering)
    if len(strengths) != len(steering):
        raise InputError(f"{len(steering)} steering folders and {len(strengths)} strengths; give one strength for each")
    loaded = load_model(str(model), device)
    pairs = [(None, 0.0), *zip([load_fitted(folder) for folder in steering], strengths, strict=True)]
    columns = []
    for fitted, strength in pairs:
        heading = f"{fitted.method} {strength:g}" if fitted else "unsteered"
        generations = bind(loaded, fitted, strength).generate(prompts, sampling)
        columns.append(Column(heading, tuple(samples[0] for samples in generations)))
    return columns
