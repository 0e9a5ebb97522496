"""The frozen records that pass between the steps of curation and to the floors above."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RawDocument:
    """A document as a source gives it: text, the metadata that the source was asked to keep, and the scores and spans
    that it brings with it.
    """

    id: str
    text: str
    source: str
    metadata: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    spans: list[Span] | None = None


@dataclass(frozen=True)
class Span:
    """A scored stretch of text: half open [start, end) in Unicode code points."""

    start: int
    end: int
    attribute: str
    score: float


@dataclass(frozen=True)
class Document:
    """A document of a tagged corpus. `spans` is None where nothing was tagged, [] where nothing risky was found.

    `shard` and `row` say where it stands: the Parquet file below `corpora/NAME/` and the row in it.
    """

    id: str
    text: str
    source: str
    metadata: dict[str, Any]
    scores: dict[str, float]
    spans: list[Span] | None
    shard: str
    row: int


@dataclass(frozen=True)
class BadLine:
    """A line that could not be read as a document. `raw` is its beginning, for the eye.

    `lines` is how many are lost (rows of a damaged Parquet file, 1 where nobody knows); `damage` says that it is the
    place from which on a file cannot be read.
    """

    file: str
    line: int
    reason: str
    raw: str
    lines: int = 1
    damage: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"
