"""The evaluation `fluency`: how well the generations of `toxicity` read. Nothing is generated for it.

Perplexity is that of the text behind its prompt under the *unsteered* model, the convention of RAD and SASA (Ko et al.
2025, arXiv 2410.03818), and under another model where one is named: a model finds likely what it would write itself,
and a steered one's text is judged by neither too well. Distinct-n are over the continuations of a prompt, by words (Liu
et al. 2021, arXiv 2105.03023); rep-4 is over a text's tokens (Welleck et al. 2020, arXiv 1908.04319).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

from analysis.evaluations.base import Evaluation, Generations
from analysis.evaluations.options import FluencySpec
from analysis.results import Row, Score
from infra.errors import InputError
from pretrain.huggingface.location import fingerprint

if TYPE_CHECKING:
    from posttrain.model import CausalModel

DISTINCT = {1: "distinct-1", 2: "distinct-2", 3: "distinct-3"}
REPEATED, LENGTH, ENDED = "rep-4", "length", "ended"
JUDGE_NATS, JUDGE_TOKENS = "judge nats", "judge tokens"
_REPEATED_OF = 4


class Fluency(Evaluation[FluencySpec]):
    """A chunk is one of `toxicity`."""

    options = FluencySpec
    reads = ("generations",)

    @staticmethod
    def identity(options: FluencySpec) -> dict[str, Any]:
        """The judge, if there is one."""
        return options.identity() | ({} if options.judge is None else {"judge": fingerprint(options.judge)})

    def chunks(self) -> int:
        """Those of `toxicity`."""
        return self._generations.measured.chunks()

    def rows(self, chunk: int) -> list[Row]:
        """One row a generation; an empty one has no value. Scores are named in this module; those of a whole prompt
        (distinct-n) stand in the row of each of its generations.
        """
        written = self._generations.measured.rows(chunk)
        prompts = [(row.prompt_text or "", row.generation or "") for row in written]
        own = nats_of(self.subject.model.loaded, prompts)
        judged = self._judged(prompts)
        distinct = _distinct(written)
        return [
            Row(
                instance=row.instance,
                prompt=row.prompt,
                sample=row.sample,
                prompt_id=row.prompt_id,
                group=row.group,
                value=nats / tokens if tokens and math.isfinite(nats) else None,
                tokens=tokens,
                reason=_reason(nats, tokens),
                scores=(*distinct[row.instance, row.prompt], *self._of_text(row), *judge),
                sampling_seed=row.sampling_seed,
            )
            for row, (nats, tokens), judge in zip(written, own, judged, strict=True)
        ]

    @property
    def _generations(self) -> Generations:
        if self.subject.generations is None:
            raise InputError("fluency looks at what toxicity has the model write: give `toxicity:`")
        return self.subject.generations

    def _judged(self, texts: Sequence[tuple[str, str]]) -> Iterator[tuple[Score, ...]]:
        """Nats and tokens of every text under the judge; nothing without one."""
        if self.spec.judge is None:
            yield from ((),) * len(texts)
            return
        identity = fingerprint(self.spec.judge)
        name = f"judge@{identity[:12]}"
        for nats, tokens in nats_of(_judge(self.spec.judge, identity, self.subject.model.loaded.device.type), texts):
            known = tokens and math.isfinite(nats)
            yield (Score(name, JUDGE_NATS, nats), Score(name, JUDGE_TOKENS, float(tokens))) if known else ()

    def _of_text(self, row: Row) -> Iterator[Score]:
        """Length in generated tokens, whether the text ended by itself, and rep-4 where it is long enough."""
        yield Score("", LENGTH, float(row.tokens))
        yield Score("", ENDED, float(row.tokens < self._generations.options.new_tokens_of(row.instance)))
        (ids,) = self.subject.model.loaded.encode([row.generation or ""])
        if len(ids) >= _REPEATED_OF:
            yield Score("", REPEATED, repeated(ids, _REPEATED_OF))


def nats_of(model: CausalModel, texts: Sequence[tuple[str, str]]) -> list[tuple[float, int]]:
    """Nats of each text behind its prompt under a model unsteered, and its tokens; an empty text has neither.

    A text is encoded apart from its prompt, and its end-of-text token is not asked. Of a prompt that the context has no
    room for the end is read, of such a text the beginning.
    """
    from posttrain.continuations import Continuation, room
    from posttrain.steered import bind

    plain = bind(model, None, 0.0)
    prompts, written = (model.encode(list(column)) for column in zip(*texts, strict=True)) if texts else ([], [])
    asked = {
        number: Continuation((model.start, *prompt), tuple(ids[: room(plain.stack)]))
        for number, (prompt, ids) in enumerate(zip(prompts, written, strict=True))
        if ids
    }
    scores = dict(zip(asked, plain.continuations(list(asked.values())), strict=True))
    return [
        (scores[number].nats, len(asked[number].tokens)) if number in scores else (0.0, 0)
        for number in range(len(texts))
    ]


def distinct(texts: Sequence[str], size: int) -> float | None:
    """Different n-grams of words over all words of the texts; None for no word."""
    words = [text.split() for text in texts]
    different = {gram for of_text in words for gram in _grams(of_text, size)}
    total = sum(map(len, words))
    return len(different) / total if total else None


def repeated(tokens: Sequence[int], size: int) -> float:
    """Share of the n-grams of a text that stood in it before; there must be one."""
    grams = list(_grams(tokens, size))
    return 1 - len(set(grams)) / len(grams)


def _grams(items: Sequence[Any], size: int) -> Iterator[tuple[Any, ...]]:
    return zip(*(items[first:] for first in range(size)), strict=False)


def _distinct(rows: Sequence[Row]) -> dict[tuple[str | None, int], tuple[Score, ...]]:
    """Distinct-n of every prompt, over its continuations."""
    by_prompt = groupby(rows, key=lambda row: (row.instance, row.prompt))
    texts = {key: [row.generation or "" for row in group] for key, group in by_prompt}
    return {
        key: tuple(
            Score("", name, figure) for size, name in DISTINCT.items() if (figure := distinct(own, size)) is not None
        )
        for key, own in texts.items()
    }


def _reason(nats: float, tokens: int) -> str | None:
    if tokens == 0:
        return "empty continuation"
    return None if math.isfinite(nats) else f"the cross-entropy is {nats}"


@lru_cache(maxsize=1)
def _judge(location: str, identity: str, device: str) -> CausalModel:
    """One for all subjects of a process. `identity` is the fingerprint: other content is another model."""
    from posttrain.model import load_model

    return load_model(location, "cuda" if device == "cuda" else "cpu")
