"""Scores and spans of documents, in batches: what a worker does between reading and writing."""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from curation.passages import passages
from curation.records import RawDocument, Span
from curation.scorers import Scorer, load_scorer
from curation.spec import CurationSpec
from curation.taggers import make_tagger
from infra.errors import ScoringError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BATCH = 256
"""Documents that are scored together."""

Scored = tuple[RawDocument, dict[str, float], "list[Span] | None"]


def scored(documents: Iterable[RawDocument], spec: CurationSpec) -> Iterator[Scored]:
    """Each document with its scores and spans. Raises ScoringError naming the document that could not be scored.

    The tagger is made anew for each call: what it has learned about a word must not depend on the files that the
    process happened to read before, or the bytes would depend on the number of workers.
    """
    scorer = scorer_of(spec)
    tagger = make_tagger(spec.tagger, scorer) if spec.tagger else None
    stream = iter(documents)
    while batch := list(islice(stream, BATCH)):
        scores = _score(batch, scorer, spec.passage)
        spans = tagger.tag([document.text for document in batch]) if tagger else [None] * len(batch)
        yield from zip(batch, scores, spans, strict=True)


def scorer_of(spec: CurationSpec) -> Scorer:
    """The curation's scorer, loaded once per process."""
    return _loaded(json.dumps(spec.scorer.model_dump(mode="json"), sort_keys=True))


@lru_cache(maxsize=2)
def _loaded(key: str) -> Scorer:
    from curation.scorers import SCORERS

    options = json.loads(key)
    return load_scorer(SCORERS.get(options["name"]).options.model_validate(options))


def _score(batch: list[RawDocument], scorer: Scorer, longest: int) -> list[dict[str, float]]:
    """The highest score over each document's passages, by attribute."""
    pieces = [passages(document.text, longest) for document in batch]
    try:
        table = scorer.score([piece for each in pieces for piece in each])
    except ScoringError:
        _blame(batch, pieces, scorer)
        raise
    found, start = [], 0
    for each in pieces:
        best = table[start : start + len(each)].max(axis=0)
        found.append(dict(zip(scorer.attributes, best.tolist(), strict=True)))
        start += len(each)
    return found


def _blame(batch: list[RawDocument], pieces: list[list[str]], scorer: Scorer) -> None:
    """Raise the scorer's error again with the name of the first document that brings it about alone."""
    for document, each in zip(batch, pieces, strict=True):
        try:
            scorer.score(each)
        except ScoringError as error:
            raise ScoringError(f"document {document.id}: {error}") from None
