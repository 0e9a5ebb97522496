"""Lines that cannot be used: how many are put up with, and what is said of them, in curations and trainings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field

from curation.corpus.records import BadLine, RawDocument
from curation.sources.extract import Check, OnBad
from curation.sources.read import read_source
from curation.sources.spec import AnySource
from infra.atomic import write_text
from infra.errors import DataError
from infra.stages.stage import Workspace

QUARANTINE = "quarantine.jsonl"
SHOWN = 5
"""Bad lines in a message."""
Reader = Callable[[AnySource, OnBad | None, Check | None], Iterator[RawDocument]]
"""`read_source`, or what reads through it."""


def tolerated(what: str, bad: int, good: int, first: Iterable[object], max_share: float) -> str:
    """What to say of the bad lines of `what`, '' where there are none. Raises DataError where their share is above
    `max_share`; `first` are some of them.
    """
    shown = "; ".join(map(str, first))
    share = bad / (bad + good) if bad else 0.0
    if share > max_share:
        raise DataError(f"{shown}\n{what}: {bad} of {bad + good} lines are bad, a share of {share:.3g}, "
                        f"and max_bad_share is {max_share:g}")  # fmt: skip
    return f"{what}: {bad} of {bad + good} lines are bad; left out, see {QUARANTINE}: {shown}" if bad else ""


@dataclass
class BadLines:
    """The bad lines of a training's sources, left out as long as they are few."""

    max_share: float
    lines: list[BadLine] = field(default_factory=list)
    _bad: int = 0
    _good: int = 0

    def read(self, source: AnySource, on_bad: OnBad | None = None, check: Check | None = None) -> Iterator[RawDocument]:
        """`read_source`, whose bad lines are kept here. Raises DataError where a file holds nothing but such, or begins
        with a hundred.
        """
        for document in read_source(source, self.lines.append, check, self._skip):
            self._good += 1
            yield document

    def weigh(self, what: str, workspace: Workspace) -> None:
        """Note the bad lines of what has been read since this was last asked. Raises DataError where they are many."""
        new = self.lines[self._bad :]
        note = tolerated(what, len(new), self._good, new[:SHOWN], self.max_share)
        self._bad, self._good = len(self.lines), 0
        if note:
            rows = [json.dumps(asdict(line), ensure_ascii=False) + "\n" for line in self.lines]
            write_text(workspace.path / QUARANTINE, "".join(rows))
            workspace.note(note)

    def _skip(self, document: RawDocument, reason: str) -> None:
        self._good += 1
