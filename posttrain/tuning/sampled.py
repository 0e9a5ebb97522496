"""Continuations that the model writes by our own decoder, each with its score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from curation.scorers import Scorer, loaded_scorer
from infra.errors import InputError
from posttrain.decoding.sampling import Sampling
from posttrain.model import CausalModel
from posttrain.steered import bind
from posttrain.tuning.options import SampledSpec


@dataclass(frozen=True)
class ScoredText:
    """A continuation: whether it ended by itself, and its score; None where it is empty and nothing can be scored."""

    text: str
    ended: bool
    score: float | None


def sample_and_score(
    model: CausalModel,
    spec: SampledSpec,
    prompts: Sequence[str],
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> list[list[ScoredText]]:
    """`spec.samples` continuations of each prompt. Raises InputError where the scorer has not the attribute,
    ScoringError where it fails.
    """
    scorer, column = _scorer(spec)
    sampling = Sampling(spec.max_new_tokens, spec.samples, spec.top_p, spec.temperature, seed)
    generations = [row for rows in bind(model, None, 0.0).generate(prompts, sampling, progress) for row in rows]
    texts = [generation.text for generation in generations if generation.text.strip()]
    scores = iter(scorer.score(texts)[:, column].tolist())
    scored = [
        ScoredText(generation.text, generation.ended, next(scores) if generation.text.strip() else None)
        for generation in generations
    ]
    return [scored[first : first + spec.samples] for first in range(0, len(scored), spec.samples)]


@torch.no_grad()
def build_head(model: CausalModel) -> None:
    """Have the model make what its logits need of the network before TRL puts another forward in its place."""
    model.logits(model.hidden(torch.tensor([[model.start]], device=model.device)))


def _scorer(spec: SampledSpec) -> tuple[Scorer, int]:
    """The scorer, and the column of the attribute that counts."""
    scorer = loaded_scorer(spec.scorer)
    if spec.attribute not in scorer.attributes:
        known = ", ".join(scorer.attributes)
        raise InputError(f"the scorer {spec.scorer.name} has no {spec.attribute!r}; it has {known}")
    return scorer, scorer.attributes.index(spec.attribute)
