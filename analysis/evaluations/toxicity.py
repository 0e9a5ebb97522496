"""The evaluation `toxicity`: continuations of prompts, scored by a curation scorer on the continuation alone.

RealToxicityPrompts (Gehman et al. 2020, arXiv 2009.11462) samples 25 continuations of 20 tokens by nucleus sampling
with p = 0.9 and reports the expected maximum and the probability that one is toxic (>= 0.5); Li et al. 2025 (arXiv
2505.04741) report the mean. All three are computed later from the rows kept here. A continuation that is empty, or on
which the scorer fails, has no score and says why: it is never counted as harmless. Further sets of prompts are
continued by the same model and scored by the same scorers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import PromptsSpec, ToxicitySpec
from analysis.evaluations.prompts import Prompt, read_prompts
from analysis.results import TOXICITY, PromptScore, Row, Score
from curation.scorers import Scorer, ScorerSpec, loaded_scorer, weights_of
from curation.sources.input_files import content_of
from infra.errors import InputError, ScoringError

if TYPE_CHECKING:
    from posttrain.steered import Generation, Sampling

PROMPTS_PER_CHUNK = 128
EMPTY = "empty continuation"


@dataclass(frozen=True)
class PromptSet:
    """Prompts that are continued alike; `name` is None for the section's own, and they are numbered within the set."""

    name: str | None
    spec: PromptsSpec
    prompts: tuple[Prompt, ...]
    left_out: int
    samples: int
    max_new_tokens: int


ScoresOrReason = NDArray[np.float32] | str
"""A scorer's scores of one text [attributes], or why it has none."""


class Toxicity(Evaluation[ToxicitySpec]):
    """Generates, a chunk of prompts at a time, and scores what was generated."""

    options = ToxicitySpec
    reads = ()

    @staticmethod
    def identity(options: ToxicitySpec) -> dict[str, Any]:
        """Options with the content of the prompts and the weights of the scorers."""
        scorers = [_identity_of(scorer) for scorer in (options.scorer, *options.also)]
        return {**_with_contents(options), "scorers": scorers}

    @classmethod
    def measured_identity(cls, options: ToxicitySpec) -> dict[str, Any]:
        """Without scorers."""
        about_scores = {"attribute"}
        return {key: value for key, value in _with_contents(options).items() if key not in about_scores}

    def chunks(self) -> int:
        """Chunks of 128 prompts of one set."""
        return len(self._chunks)

    def rows(self, chunk: int) -> list[Row]:
        """One row a continuation, without a value yet."""
        chosen, numbers = self._chunks[chunk]
        prompts = [chosen.prompts[number] for number in numbers]
        texts = [prompt.text for prompt in prompts]
        batch = self.subject.steered.generate(texts, self._sampling(chosen), indices=numbers)
        return [
            self._row(chosen, number, sample, generation)
            for number, generations in zip(numbers, batch, strict=True)
            for sample, generation in enumerate(generations)
        ]

    def load_scorers(self) -> None:
        """Raises InputError where the scorer that counts lacks the attribute, UnavailableError with advice."""
        _ = self._scorers

    def scored(self, rows: Sequence[Row]) -> list[Row]:
        """Value and scores of every continuation, or the reason why there is none."""
        return scored_rows(rows, self._scorers, self.spec.attribute)

    def _row(self, chosen: PromptSet, number: int, sample: int, generation: Generation) -> Row:
        prompt, until = chosen.prompts[number], chosen.spec.until
        metadata, stored = prompt.document.metadata, chosen.spec.stored_scores
        return Row(
            instance=chosen.name,
            prompt=number,
            sample=sample,
            prompt_id=prompt.document.id,
            group=prompt.group,
            prompt_text=prompt.text,
            prompt_scores=tuple(PromptScore(name, metadata[key]) for name, key in stored.items()),
            generation=generation.text.partition(until)[0] if until else generation.text,
            value=None,
            tokens=len(generation.tokens),
            sampling_seed=self.spec.seed,
        )

    def counts(self) -> dict[str, int]:
        """Of every set the prompts that were continued, those of them whose beginning the context has no room for, and
        the empty ones of the source, which are left out. The counts of a further set begin with its name and a dot.
        """
        counts: dict[str, int] = {}
        for chosen in self._sets:
            texts = [prompt.text for prompt in chosen.prompts]
            cut = self.subject.steered.cut_prompts(texts, chosen.max_new_tokens)
            of_set = {"prompts": len(texts), "prompts_cut": cut, "prompts_left_out": chosen.left_out}
            counts |= {f"{chosen.name}.{key}" if chosen.name else key: count for key, count in of_set.items()}
        return counts

    def _sampling(self, chosen: PromptSet) -> Sampling:
        from posttrain.steered import Sampling

        options = self.spec
        return Sampling(chosen.max_new_tokens, chosen.samples, options.top_p, options.temperature, options.seed)

    @cached_property
    def _sets(self) -> list[PromptSet]:
        return prompt_sets(self.spec)

    @cached_property
    def _chunks(self) -> list[tuple[PromptSet, list[int]]]:
        """A set and the numbers of some of its prompts. A chunk is of one set, whose sampling may be its own."""
        return [
            (chosen, list(range(len(chosen.prompts)))[first : first + PROMPTS_PER_CHUNK])
            for chosen in self._sets
            for first in range(0, len(chosen.prompts), PROMPTS_PER_CHUNK)
        ]

    @cached_property
    def _scorers(self) -> list[Scorer]:
        scorers = [loaded_scorer(spec) for spec in (self.spec.scorer, *self.spec.also)]
        if self.spec.attribute not in scorers[0].attributes:
            known = ", ".join(scorers[0].attributes)
            raise InputError(f"the scorer {self.spec.scorer.name} has no {self.spec.attribute!r}; it has {known}")
        return scorers


def prompt_sets(options: ToxicitySpec) -> list[PromptSet]:
    """The section's own prompts, then the further sets by name. Raises what `read_prompts` raises."""
    prompts = read_prompts(options, options.seed, options.limit)
    sets = [PromptSet(None, options, prompts.chosen, prompts.left_out, options.samples, options.max_new_tokens)]
    for name, given in sorted(options.sets.items()):
        prompts = read_prompts(given, options.seed, given.limit or options.limit)
        samples, tokens = given.samples or options.samples, given.max_new_tokens or options.max_new_tokens
        sets.append(PromptSet(name, given, prompts.chosen, prompts.left_out, samples, tokens))
    return sets


def _with_contents(options: ToxicitySpec) -> dict[str, Any]:
    """Options with the content of the prompts of every set."""
    identity = {**options.identity(), "prompts": content_of(options.prompts)}
    if options.sets:
        contents = {name: {"prompts": content_of(given.prompts)} for name, given in options.sets.items()}
        identity["sets"] = {name: options.sets[name].identity() | content for name, content in contents.items()}
    return identity


def _identity_of(scorer: ScorerSpec) -> list[object]:
    """Name and weights, and a limit of time, which decides what has no score."""
    limit = [] if scorer.timeout_seconds is None else [scorer.timeout_seconds]
    return [scorer.name, weights_of(scorer), *limit]


def scored_rows(rows: Sequence[Row], scorers: Sequence[Scorer], attribute: str) -> list[Row]:
    """The rows with value, scores, scorer and reason from their generations; the first scorer is the one that counts.

    A text on which a scorer fails has no score of it and a reason.
    """
    numbers = [number for number, row in enumerate(rows) if (row.generation or "").strip()]
    texts = [rows[number].generation or "" for number in numbers]
    scored = [replace(row, scores=(), scorer=scorers[0].full_identity, reason=EMPTY) for row in rows]
    by_text = zip(*(_score(scorer, texts) for scorer in scorers), strict=True)
    for number, outcomes in zip(numbers, by_text, strict=True):
        scored[number] = _with_scores(scored[number], scorers, outcomes, attribute)
    return scored


def refuse_unscored(table: pl.DataFrame) -> None:
    """Raise ScoringError where a subject wrote texts and the scorer that counts could score none of them: that is a
    broken scorer, and no finding.
    """
    texts = table.filter((pl.col("evaluation") == TOXICITY) & pl.col("reason").ne_missing(EMPTY))
    if len(texts) and texts["value"].null_count() == len(texts):
        raise ScoringError(f"none of {len(texts)} continuations could be scored: {texts['reason'][0]}")


def _with_scores(row: Row, scorers: Sequence[Scorer], outcomes: Sequence[ScoresOrReason], attribute: str) -> Row:
    scores: list[Score] = []
    for scorer, outcome in zip(scorers, outcomes, strict=True):
        if not isinstance(outcome, str):
            named = zip(scorer.attributes, map(float, outcome), strict=True)
            scores += [Score(scorer.full_identity, name, score) for name, score in named]
    first = outcomes[0]
    return replace(
        row,
        value=None if isinstance(first, str) else float(first[scorers[0].attributes.index(attribute)]),
        scores=tuple(scores),
        reason=next((outcome for outcome in outcomes if isinstance(outcome, str)), None),
    )


def _score(scorer: Scorer, texts: Sequence[str]) -> list[ScoresOrReason]:
    """Scores of every text; where the batch fails, text by text, so that one bad text costs one score."""
    try:
        return list(scorer.score(list(texts)))
    except ScoringError as error:
        if len(texts) == 1:
            return [str(error)]
    return [_score(scorer, [text])[0] for text in texts]
