"""A scorer that is given so many seconds: it runs in a process of its own, which is ended when they are over.

A process and no thread, as a thread cannot be ended: a regular expression that backtracks for hours holds Python's lock
all the time, and what is compiled is not interrupted at all.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.scorers import card_of, load_scorer, unlimited, weights_of
from curation.scorers.base import Card, Scorer
from curation.scorers.options import ScorerSpec
from infra.errors import HormesisError, ScoringError
from infra.jobs.processes import kill_workers, start_workers

if TYPE_CHECKING:
    from numpy.typing import NDArray

Load = Callable[[], Scorer]
"""Loads a scorer in another process, so it is pickled."""

TEXTS_AT_ONCE = 32

_scorer: Scorer | None = None


class Limited(Scorer):
    """The scorer that `load` gives, in another process. Raises what `load` raises."""

    options = ScorerSpec

    def __init__(self, load: Load, seconds: float) -> None:
        self._load, self._seconds = load, seconds
        self._pool: ProcessPoolExecutor | None = None
        self.attributes, self.identity, self._full_identity, self.documents_together = self._ask(_describe)

    @classmethod
    def load(cls, spec: ScorerSpec) -> Limited:
        """The scorer of `spec`, in a process with its `timeout_seconds`."""
        assert spec.timeout_seconds is not None  # `load_scorer` has seen it
        return cls(partial(load_scorer, unlimited(spec)), spec.timeout_seconds)

    @classmethod
    def weights(cls, spec: ScorerSpec) -> str:
        """The scorer's own."""
        return weights_of(spec)

    @staticmethod
    def card(spec: ScorerSpec) -> Card:
        """The scorer's own."""
        return card_of(spec)

    @property
    def full_identity(self) -> str:
        """The scorer's own."""
        return self._full_identity

    def score(self, texts: list[str]) -> NDArray[np.float32]:
        """See Scorer; raises ScoringError also where 32 texts take too long, or the process dies."""
        parts = [
            self._ask(_score, texts[start : start + TEXTS_AT_ONCE], seconds=self._seconds)
            for start in range(0, len(texts), TEXTS_AT_ONCE)
        ]
        return np.concatenate([np.zeros((0, len(self.attributes)), np.float32), *parts])

    def known_words(self, text: str) -> tuple[int, int]:
        """See Scorer."""
        known: tuple[int, int] = self._ask(_known_words, text, seconds=self._seconds)
        return known

    def _ask(self, function: Callable[..., Any], *given: Any, seconds: float | None = None) -> Any:
        """What `function` gives in the process, which is started where it is not at work; loading has no limit."""
        try:
            if self._pool is None:
                self._pool = start_workers(1)
                self._pool.submit(_prepare, self._load).result()
            return self._pool.submit(function, *given).result(seconds)
        except HormesisError:
            raise
        except TimeoutError:
            self._end()
            raise ScoringError(f"scorer {self.identity} took longer than {self._seconds:g} seconds") from None
        except BrokenProcessPool:
            self._end()
            raise ScoringError("the process of a scorer died (out of memory, or a fault of its code)") from None
        except BaseException:  # Ctrl-C: nobody would end a process that hangs
            self._end()
            raise

    def _end(self) -> None:
        if self._pool is not None:
            kill_workers(self._pool)
        self._pool = None

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        return self.score(texts)


def _prepare(load: Load) -> None:
    global _scorer
    _scorer = load()


def _describe() -> tuple[tuple[str, ...], str, str, int]:
    scorer = _loaded()
    return scorer.attributes, scorer.identity, scorer.full_identity, scorer.documents_together


def _score(texts: list[str]) -> NDArray[np.float32]:
    return _loaded().score(texts)


def _known_words(text: str) -> tuple[int, int]:
    return _loaded().known_words(text)


def _loaded() -> Scorer:
    assert _scorer is not None  # prepared before it is asked
    return _scorer
