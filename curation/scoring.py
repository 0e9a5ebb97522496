"""Scores of documents from scores of their passages, in batches that are bounded whatever the documents' length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curation.passages import passages
from infra.errors import ScoringError

if TYPE_CHECKING:
    import numpy as np
    from datatrove.data import Document
    from numpy.typing import NDArray

    from curation.scorers import Scorer

_PIECES = 8192
"""Passages that are scored in one call, at most: with 200 characters each, under 2 MB of text."""


def document_scores(batch: list[Document], scorer: Scorer, longest: int) -> NDArray[np.float32]:
    """[documents, attributes]: the highest score over each document's passages of at most `longest` characters.

    Raises ScoringError naming the document that could not be scored.
    """
    import numpy as np

    best = np.zeros((len(batch), len(scorer.attributes)), dtype=np.float32)
    for owners, pieces in _groups(batch, longest):
        try:
            np.maximum.at(best, owners, scorer.score(pieces))
        except ScoringError:
            _blame(batch, owners, pieces, scorer)
            raise
    return best


def _groups(batch: list[Document], longest: int) -> Iterator[tuple[list[int], list[str]]]:
    """(row in the batch, passage) of all passages, some thousands at a time."""
    owners: list[int] = []
    pieces: list[str] = []
    for row, document in enumerate(batch):
        for piece in passages(document.text, longest):
            owners.append(row)
            pieces.append(piece)
            if len(pieces) == _PIECES:
                yield owners, pieces
                owners, pieces = [], []
    if pieces:
        yield owners, pieces


def _blame(batch: list[Document], owners: list[int], pieces: list[str], scorer: Scorer) -> None:
    """Raise the scorer's error again with the name of the first document that brings it about alone."""
    for row in dict.fromkeys(owners):
        try:
            scorer.score([piece for owner, piece in zip(owners, pieces, strict=True) if owner == row])
        except ScoringError as error:
            raise ScoringError(f"document {batch[row].id}: {error}") from None
