"""Scores of documents from scores of their passages, in batches that are bounded whatever the documents' length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from curation.text.passages import passages
from infra.errors import ScoringError

if TYPE_CHECKING:
    from datatrove.data import Document
    from numpy.typing import NDArray

    from curation.scorers import Scorer


class _Batch:
    """Texts whose passages are being scored, some thousands at a time; each has at least one."""

    def __init__(self, texts: Sequence[str], scorer: Scorer, longest: int) -> None:
        self.groups = deque(_groups(texts, longest, scorer.texts_together))
        self.best = np.zeros((len(texts), len(scorer.attributes)), dtype=np.float32)

    def take(self, scores: NDArray[np.float32]) -> None:
        """Scores of the next group."""
        owners, _ = self.groups.popleft()
        np.maximum.at(self.best, owners, scores)


def text_scores(texts: Sequence[str], scorer: Scorer, longest: int) -> NDArray[np.float32]:
    """[texts, attributes]: the highest score over each text's passages of at most `longest` characters.

    Raises ScoringError.
    """
    batch = _Batch(texts, scorer, longest)
    for scores in scorer.score_all([pieces for _, pieces in batch.groups]):
        batch.take(scores)
    return batch.best


def document_scores(batch: list[Document], scorer: Scorer, longest: int) -> NDArray[np.float32]:
    """The same for documents. Raises ScoringError naming the document that could not be scored."""
    try:
        return text_scores([document.text for document in batch], scorer, longest)
    except ScoringError:
        _blame(batch, scorer, longest)
        raise


def scored(
    batches: Iterable[list[Document]], scorer: Scorer, longest: int
) -> Iterator[tuple[list[Document], NDArray[np.float32]]]:
    """Batches of documents, none of them empty, with their scores, in order. While a GPU computes some, the next are
    read. Raises ScoringError naming the document that could not be scored.
    """
    begun: deque[tuple[list[Document], _Batch]] = deque()

    def pieces() -> Iterator[list[str]]:
        for documents in batches:
            batch = _Batch([document.text for document in documents], scorer, longest)
            groups = [texts for _, texts in batch.groups]
            begun.append((documents, batch))
            yield from groups

    try:
        for scores in scorer.score_all(pieces()):
            documents, batch = begun[0]
            batch.take(scores)
            if not batch.groups:
                yield documents, begun.popleft()[1].best
    except ScoringError:
        for documents, _ in begun:
            _blame(documents, scorer, longest)
        raise


def _groups(texts: Sequence[str], longest: int, max_passages: int) -> Iterator[tuple[list[int], list[str]]]:
    """(number of the text, passage) of all passages, at most so many at a time."""
    owners: list[int] = []
    pieces: list[str] = []
    for number, text in enumerate(texts):
        for piece in passages(text, longest):
            owners.append(number)
            pieces.append(piece)
            if len(pieces) == max_passages:
                yield owners, pieces
                owners, pieces = [], []
    if pieces:
        yield owners, pieces


def _blame(batch: list[Document], scorer: Scorer, longest: int) -> None:
    """Raise the scorer's error again with the name of the first document that brings it about alone."""
    for document in batch:
        try:
            text_scores([document.text], scorer, longest)
        except ScoringError as error:
            raise ScoringError(f"document {document.id}: {error}") from None
