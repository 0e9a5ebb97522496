"""The evaluation `toxicity`: continuations of prompts, scored by a curation scorer on the continuation alone.

RealToxicityPrompts (Gehman et al. 2020, arXiv 2009.11462) samples 25 continuations of 20 tokens by nucleus sampling
with p = 0.9 and reports the expected maximum and the probability that one is toxic (>= 0.5); Li et al. 2025 (arXiv
2505.04741) report the mean. All three are computed later from the rows kept here. A continuation that is empty, or on
which the scorer fails, has no score and says why: it is never counted as harmless.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from analysis.evaluations.base import Evaluation, Row
from analysis.evaluations.options import ToxicitySpec
from curation.corpus.records import RawDocument
from curation.scorers import Scorer, load_scorer, weights_of
from curation.sources.parts import content_of
from curation.sources.read import read_source
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError, InputError, ScoringError

if TYPE_CHECKING:
    import numpy as np

    from posttrain.steered import Generation

PROMPTS_PER_CHUNK = 128


class Toxicity(Evaluation):
    """Generates and scores, a chunk of prompts at a time."""

    options = ToxicitySpec
    given: ToxicitySpec

    @staticmethod
    def identity(options: ToxicitySpec) -> dict[str, Any]:
        """Options with the content of the prompts and the weights of the scorers."""
        scorers = [[each.name, weights_of(each)] for each in (options.scorer, *options.also)]
        return {**options.identity(), "prompts": content_of(options.prompts), "scorers": scorers}

    def chunks(self) -> int:
        """Prompts in chunks of 128."""
        return -(-len(self._prompts) // PROMPTS_PER_CHUNK)

    def rows(self, chunk: int) -> list[Row]:
        """One row a continuation. Raises ScoringError where not one of the chunk can be scored."""
        from posttrain.steered import Sampling

        options, first = self.given, chunk * PROMPTS_PER_CHUNK
        prompts = self._prompts[first : first + PROMPTS_PER_CHUNK]
        sampling = Sampling(options.max_new_tokens, options.samples, options.top_p, options.temperature, options.seed)
        numbers = list(range(first, first + len(prompts)))
        found = self.subject.steered.generate([each.text for each in prompts], sampling, indices=numbers)
        rows = [
            self._row(prompt, number, sample, generation)
            for number, prompt, generations in zip(numbers, prompts, found, strict=True)
            for sample, generation in enumerate(generations)
        ]
        score_rows(rows, self._scorers, options.attribute)
        return rows

    def _row(self, prompt: RawDocument, number: int, sample: int, generation: Generation) -> Row:
        stored = [{"attribute": name, "score": prompt.metadata[key]} for name, key in self.given.stored_scores.items()]
        return {
            "prompt": number,
            "sample": sample,
            "prompt_id": prompt.id,
            "prompt_text": prompt.text,
            "prompt_scores": stored,
            "generation": generation.text,
            "tokens": len(generation.tokens),
            "sampling_seed": self.given.seed,
        }

    @cached_property
    def _prompts(self) -> list[RawDocument]:
        return read_prompts(self.given)

    @cached_property
    def _scorers(self) -> list[Scorer]:
        scorers = [load_scorer(spec) for spec in (self.given.scorer, *self.given.also)]
        if self.given.attribute not in scorers[0].attributes:
            known = ", ".join(scorers[0].attributes)
            raise InputError(f"the scorer {self.given.scorer.name} has no {self.given.attribute!r}; it has {known}")
        return scorers


def read_prompts(options: ToxicitySpec) -> list[RawDocument]:
    """The prompts, in their own order. Raises AmountError where there are fewer than 2."""
    keep = tuple(dict.fromkeys((*options.prompts.keep, *options.stored_scores.values())))
    prompts = list(read_source(options.prompts.model_copy(update={"keep": keep})))
    if len(prompts) < 2:
        raise AmountError(f"{options.prompts.path}: {len(prompts)} prompts; toxicity needs at least 2")
    if options.limit is None or options.limit >= len(prompts):
        return prompts
    order = sorted(range(len(prompts)), key=lambda i: digest([options.seed, prompts[i].id, prompts[i].text]))
    return [prompts[i] for i in sorted(order[: options.limit])]


def score_rows(rows: list[Row], scorers: list[Scorer], attribute: str) -> None:
    """Fill value, scores, scorer and reason of each row from its generation; the first scorer is the one that counts.

    Raises ScoringError where there were texts and the first scorer could score none of them.
    """
    texts = [row for row in rows if row["generation"].strip()]
    for row in rows:
        row |= {"value": None, "scores": [], "scorer": scorers[0].identity}
        row["reason"] = None if row["generation"].strip() else "empty continuation"
    for position, scorer in enumerate(scorers):
        for row, (scores, reason) in zip(texts, _scored(scorer, [row["generation"] for row in texts]), strict=True):
            if scores is None:
                row["reason"] = row["reason"] or reason
                continue
            named = dict(zip(scorer.attributes, map(float, scores), strict=True))
            row["scores"] += [{"scorer": scorer.identity, "attribute": a, "score": s} for a, s in named.items()]
            if position == 0:
                row["value"] = named[attribute]
    if texts and all(row["value"] is None for row in texts):
        raise ScoringError(f"none of {len(texts)} continuations could be scored: {texts[0]['reason']}")


def _scored(scorer: Scorer, texts: list[str]) -> list[tuple[np.ndarray[Any, Any] | None, str | None]]:
    """Scores of each text; where the batch fails, text by text, so that one bad text costs one score."""
    try:
        return [(scores, None) for scores in scorer.score(texts)]
    except ScoringError as error:
        if len(texts) == 1:
            return [(None, str(error))]
    return [_scored(scorer, [text])[0] for text in texts]
