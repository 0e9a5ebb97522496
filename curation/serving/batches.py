"""Texts of concurrent requests, scored together: a scorer takes a hundred texts in much less than a hundred times one.

While some are scored, those that come wait, and are the next batch. An idle scorer waits a few milliseconds for
company, but only while there are clients that could bring it: one client alone is answered without delay. After a
batch that took long it waits a twentieth of that time: those who have just been answered come again one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from curation.filter.text_scoring import ScoredText, TextScoring

COMPANY = 0.003
"""Seconds that an idle scorer waits for further texts, at least."""
_SHARE, _LONGEST = 0.05, 0.05  # of the last batch's time, and seconds at most
_LOOK = 0.0005  # seconds between two looks whether all have come


@dataclass(frozen=True)
class _Waiting:
    text: str
    with_spans: bool
    answer: asyncio.Future[ScoredText]


class Batches:
    """Scores texts in one thread, as many together as have come. `clients` counts those that could send one."""

    def __init__(self, scoring: TextScoring, clients: Callable[[], int]) -> None:
        self._scoring, self._clients = scoring, clients
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "scorer")
        self.count = self.texts = 0
        """Batches and texts that have been scored."""
        self._took = 0.0

    async def score(self, text: str, with_spans: bool) -> ScoredText:
        """What is known of a text. Raises what the scorer raises for it."""
        waiting = _Waiting(text, with_spans, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.answer

    async def run(self) -> None:
        """Score until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await self._arrived.wait()
                await self._company()
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._scoring.together))]
                if not self._waiting:
                    self._arrived.clear()
                start = loop.time()
                answers = await loop.run_in_executor(self._thread, scored, self._scoring, batch)
                self._took = loop.time() - start
                self._tell(batch, answers)
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _company(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + max(COMPANY, min(_SHARE * self._took, _LONGEST))
        while len(self._waiting) < min(self._clients(), self._scoring.together) and loop.time() < end:
            await asyncio.sleep(_LOOK)

    def _tell(self, batch: list[_Waiting], answers: Sequence[ScoredText | Exception]) -> None:
        self.count, self.texts = self.count + 1, self.texts + len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():  # cancelled: the client has gone
                continue
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)


def scored(scoring: TextScoring, batch: Sequence[_Waiting]) -> list[ScoredText | Exception]:
    """What is known of each text, or why the scorer failed on it. A text that fails costs the others no answer: the
    batch is halved until it stands alone.
    """
    try:
        return _in_two(scoring, batch)
    except Exception as error:  # whatever a scorer or a tagger raises must not end the server
        if len(batch) == 1:
            return [error]
        middle = len(batch) // 2
        return scored(scoring, batch[:middle]) + scored(scoring, batch[middle:])


def _in_two(scoring: TextScoring, batch: Sequence[_Waiting]) -> list[ScoredText | Exception]:
    """Those with spans, and those without, which need no tagger."""
    answers: dict[int, ScoredText] = {}
    for with_spans in (False, True):
        rows = [row for row, waiting in enumerate(batch) if waiting.with_spans is with_spans]
        if rows:
            texts = [batch[row].text for row in rows]
            answers.update(zip(rows, scoring.score(texts, with_spans), strict=True))
    return [answers[row] for row in range(len(batch))]
