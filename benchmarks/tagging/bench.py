"""What the parts of this benchmark share: texts, timing, figures and their table."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SETS = ("toxic_corpus/toxic_comments", "fourchan/posts", "clean_modern/clean_modern")
_LONGEST = 2000  # characters; of English, fewer than 512 tokens
BATCH = 32


@dataclass(frozen=True)
class Figure:
    """A measured number, and the floor or ceiling that it must keep."""

    letter: str
    what: str
    value: float
    unit: str
    floor: float | None = None
    ceiling: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the number is within its bounds; one that is no number is not."""
        return (self.floor is None or self.value >= self.floor) and (self.ceiling is None or self.value <= self.ceiling)

    def row(self) -> str:
        """A row of the table."""
        bound = (
            f"≥ {self.floor:g}" if self.floor is not None else f"≤ {self.ceiling:g}" if self.ceiling is not None else ""
        )
        value = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        return f"| {self.letter} | {self.what} | {value} {self.unit} | {bound} | {'' if self.holds else '**missed**'} |"


@dataclass
class Bench:
    """Where the data are, the texts, and what the parts have found so far."""

    data: Path
    out: Path
    size: int
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def texts(self, size: int | None = None) -> list[str]:
        """A draw from all documents of three corpora (clean modern text two thirds, toxic comments a quarter, a forum's
        posts the rest), each cut at a length that Detoxify reads to its end.
        """
        texts = [text[:_LONGEST] for name in _SETS for text in self._read(name)]
        return random.Random(0).sample(texts, size or self.size)

    def _read(self, name: str) -> Iterator[str]:
        with gzip.open(self.data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]

    def add(self, letter: str, what: str, value: float, unit: str, **bounds: float) -> Figure:
        """Keep a figure and print it."""
        figure = Figure(letter, what, value, unit, **bounds)
        self.figures.append(figure)
        print(figure.row(), flush=True)
        return figure

    def value(self, letter: str, what: str) -> float:
        """A figure of an earlier part."""
        return next(figure.value for figure in self.figures if (figure.letter, figure.what) == (letter, what))


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of `work` in this process and its children: not what else the machine does meanwhile."""
    start = _processor_time()
    work()
    return max(_processor_time() - start, 1e-9)


def _processor_time() -> float:
    import resource

    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
