"""The evaluation `toxicity`: continuations of prompts, scored by a curation scorer on the continuation alone.

RealToxicityPrompts (Gehman et al. 2020, arXiv 2009.11462) samples 25 continuations of 20 tokens by nucleus sampling
with p = 0.9 and reports the expected maximum and the probability that one is toxic (>= 0.5); Li et al. 2025 (arXiv
2505.04741) report the mean. All three are computed later from the rows kept here. A continuation that is empty, or on
which the scorer fails, has no score and says why: it is never counted as harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import ToxicitySpec
from analysis.results import TOXICITY, PromptScore, Row, Score
from curation.corpus.records import RawDocument
from curation.scorers import Scorer, load_scorer, weights_of
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError, InputError, ScoringError

if TYPE_CHECKING:
    from posttrain.steered import Generation

PROMPTS_PER_CHUNK = 128
EMPTY = "empty continuation"

ScoresOrReason = NDArray[np.float32] | str
"""A scorer's scores of one text [attributes], or why it has none."""


class Toxicity(Evaluation[ToxicitySpec]):
    """Generates, a chunk of prompts at a time, and scores what was generated."""

    options = ToxicitySpec
    reads = ()

    @staticmethod
    def identity(options: ToxicitySpec) -> dict[str, Any]:
        """Options with the content of the prompts and the weights of the scorers."""
        scorers = [[scorer.name, weights_of(scorer)] for scorer in (options.scorer, *options.also)]
        return {**options.identity(), "prompts": content_of(options.prompts), "scorers": scorers}

    @classmethod
    def measured_identity(cls, options: ToxicitySpec) -> dict[str, Any]:
        """Without scorers."""
        about_scores = {"attribute"}
        sampled = {key: value for key, value in options.identity().items() if key not in about_scores}
        return {**sampled, "prompts": content_of(options.prompts)}

    def chunks(self) -> int:
        """Prompts in chunks of 128."""
        return -(-len(self._prompts) // PROMPTS_PER_CHUNK)

    def rows(self, chunk: int) -> list[Row]:
        """One row a continuation, without a value yet."""
        from posttrain.steered import Sampling

        options, first = self.spec, chunk * PROMPTS_PER_CHUNK
        prompts = self._prompts[first : first + PROMPTS_PER_CHUNK]
        sampling = Sampling(options.max_new_tokens, options.samples, options.top_p, options.temperature, options.seed)
        numbers = list(range(first, first + len(prompts)))
        batch = self.subject.steered.generate([prompt.text for prompt in prompts], sampling, indices=numbers)
        return [
            self._row(prompt, number, sample, generation)
            for number, prompt, generations in zip(numbers, prompts, batch, strict=True)
            for sample, generation in enumerate(generations)
        ]

    def load_scorers(self) -> None:
        """Raises InputError where the scorer that counts lacks the attribute, UnavailableError with advice."""
        _ = self._scorers

    def scored(self, rows: Sequence[Row]) -> list[Row]:
        """Value and scores of every continuation, or the reason why there is none."""
        return scored_rows(rows, self._scorers, self.spec.attribute)

    def _row(self, prompt: RawDocument, number: int, sample: int, generation: Generation) -> Row:
        return Row(
            prompt=number,
            sample=sample,
            prompt_id=prompt.id,
            prompt_text=prompt.text,
            prompt_scores=tuple(
                PromptScore(name, prompt.metadata[key]) for name, key in self.spec.stored_scores.items()
            ),
            generation=generation.text,
            value=None,
            tokens=len(generation.tokens),
            sampling_seed=self.spec.seed,
        )

    def counts(self) -> dict[str, int]:
        """Prompts that were continued, those of them whose beginning the context has no room for, and the empty ones
        of the source, which are left out.
        """
        texts = [prompt.text for prompt in self._prompts]
        cut = self.subject.steered.cut_prompts(texts, self.spec.max_new_tokens)
        return {"prompts": len(texts), "prompts_cut": cut, "prompts_left_out": self._read[1]}

    @property
    def _prompts(self) -> list[RawDocument]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[list[RawDocument], int]:
        return read_prompts(self.spec)

    @cached_property
    def _scorers(self) -> list[Scorer]:
        scorers = [load_scorer(spec) for spec in (self.spec.scorer, *self.spec.also)]
        if self.spec.attribute not in scorers[0].attributes:
            known = ", ".join(scorers[0].attributes)
            raise InputError(f"the scorer {self.spec.scorer.name} has no {self.spec.attribute!r}; it has {known}")
        return scorers


def read_prompts(options: ToxicitySpec) -> tuple[list[RawDocument], int]:
    """The prompts, in their own order, and how many of the source were left out as they are empty (or, under `unique`,
    known). Raises AmountError where there are fewer than 2.
    """
    keep = tuple(dict.fromkeys((*options.prompts.keep, *options.stored_scores.values())))
    left_out: list[str] = []
    source = options.prompts.model_copy(update={"keep": keep})
    prompts = list(read_source(source, on_skip=lambda _, reason: left_out.append(reason)))
    if len(prompts) < 2:
        raise AmountError(f"{options.prompts.path}: {len(prompts)} prompts; toxicity needs at least 2")
    if options.limit is None or options.limit >= len(prompts):
        return prompts, len(left_out)
    # By hash and not by a generator: whether a prompt is chosen changes little when others are added to the file.
    order = sorted(range(len(prompts)), key=lambda i: digest([options.seed, prompts[i].id, prompts[i].text]))
    return [prompts[i] for i in sorted(order[: options.limit])], len(left_out)


def scored_rows(rows: Sequence[Row], scorers: Sequence[Scorer], attribute: str) -> list[Row]:
    """The rows with value, scores, scorer and reason from their generations; the first scorer is the one that counts.

    A text on which a scorer fails has no score of it and a reason.
    """
    numbers = [number for number, row in enumerate(rows) if (row.generation or "").strip()]
    texts = [rows[number].generation or "" for number in numbers]
    scored = [replace(row, scores=(), scorer=scorers[0].identity, reason=EMPTY) for row in rows]
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
            scores += [Score(scorer.identity, name, score) for name, score in named]
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
