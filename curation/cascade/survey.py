"""The survey: a uniform sample of the documents that come to the step, scored by both scorers.

Which documents are drawn follows from the seed, the shard and the document's place in it, never from the workers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

from curation.cascade.threshold import CascadeThreshold
from curation.corpus.documents import batches
from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from curation.shards.shard import Shard
    from infra.jobs.base import ReadOnly

_BLOCK = 4096  # numbers drawn at once
_DRAW, _GATE = "draw.json", "gate.json"


def draws(seed: int, purpose: str, stem: str) -> Iterator[float]:
    """Uniform numbers in [0, 1), one for each document of a shard, in order."""

    key = hashlib.blake2b(f"{seed}/{purpose}/{stem}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    while True:
        yield from generator.random(_BLOCK).tolist()


class Count(PipelineStep):
    """Counts the documents of each shard."""

    name = "count"
    type = "curation"

    def __init__(self, shards: ReadOnly[Shard], folder: Path) -> None:
        super().__init__()
        self.shards, self.folder = shards, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        write_json(self.folder / "counts" / f"{self.shards[rank].stem}.json", sum(1 for _ in data))
        yield from ()


@dataclass(frozen=True, kw_only=True)
class DrawRecord:
    """Documents of all shards, and the share of them that the survey is to hold."""

    documents: int
    share: float


class Draw(PipelineStep):
    """Adds the counts up, and says which share of the documents the survey is to hold."""

    name = "draw"
    type = "curation"

    def __init__(self, survey: int, shards: ReadOnly[Shard], folder: Path) -> None:
        super().__init__()
        self.survey, self.shards, self.folder = survey, shards, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        documents = sum(_read(self.folder / "counts" / f"{shard.stem}.json") for shard in self.shards)
        draw = DrawRecord(documents=documents, share=self.survey / max(1, documents))
        write_json(self.folder / _DRAW, to_json(draw))
        yield from ()


class SurveyedStep(Protocol):
    """What a survey asks of the step that it is for."""

    @property
    def seed(self) -> int:
        """Of the draws."""

    @property
    def costly_attributes(self) -> int:
        """How many scores the costly scorer gives."""

    def why_unscored(self, document: Document) -> str:
        """Why the costly scorer can tell nothing about a document; '' where it can."""

    def gate_scores(self, batch: list[Document]) -> NDArray[np.float32]:
        """[documents]: the cheap scorer's."""

    def costly_scores(self, batch: list[Document]) -> NDArray[np.float32]:
        """[documents, attributes]: the costly scorer's."""

    def gate_of(self, gate: NDArray[np.float32], costly: NDArray[np.float32], is_census: bool) -> CascadeThreshold:
        """The gate that these scores set; a census is a survey of all documents."""


class Survey(PipelineStep):
    """Scores the documents that are drawn, by both scorers, and keeps the scores with their places."""

    name = "survey"
    type = "curation"

    def __init__(self, step: SurveyedStep, shards: ReadOnly[Shard], folder: Path) -> None:
        super().__init__()
        self.step, self.shards, self.folder = step, shards, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        stem = self.shards[rank].stem
        scores_by_row: dict[int, list[Any] | None] = {}
        rows: list[int] = []
        scored = 0
        for batch in batches(self._drawn(data, stem, rows, scores_by_row)):
            gate, costly = self.step.gate_scores(batch), self.step.costly_scores(batch)
            for document_gate, document_costly in zip(gate.tolist(), costly.tolist(), strict=True):
                scores_by_row[rows[scored]] = [document_gate, document_costly]
                scored += 1
        write_json(self.folder / "survey" / f"{stem}.json", scores_by_row)
        yield from ()

    def _drawn(
        self, data: Iterable[Document], stem: str, rows: list[int], scores_by_row: dict[int, list[Any] | None]
    ) -> Iterator[Document]:
        """The documents that belong to the survey; where they stand in the shard goes to `rows`. Those that the costly
        scorer can tell nothing about are None in `scores_by_row`.
        """
        share = read_record(DrawRecord, self.folder / _DRAW).share
        for row, (document, drawn) in enumerate(zip(data, draws(self.step.seed, "survey", stem), strict=False)):
            if drawn >= share:
                continue
            if self.step.why_unscored(document):
                scores_by_row[row] = None
            else:
                rows.append(row)
                yield document


class SetGate(PipelineStep):
    """Reads every shard's survey and sets the gate."""

    name = "gate"
    type = "curation"

    def __init__(self, step: SurveyedStep, shards: ReadOnly[Shard], folder: Path) -> None:
        super().__init__()
        self.step, self.shards, self.folder = step, shards, folder

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Yield nothing."""
        drawn = sum(len(_read(_survey_of(self.folder, shard))) for shard in self.shards)
        scores = [row_scores for shard in self.shards for row_scores in surveyed(self.folder, shard).values()]
        gate = np.array([cheap for cheap, _ in scores], dtype=np.float32)
        costly = np.array([row for _, row in scores], dtype=np.float32)
        costly = costly.reshape(len(scores), self.step.costly_attributes)
        is_census = drawn == read_record(DrawRecord, self.folder / _DRAW).documents
        write_json(self.folder / _GATE, to_json(self.step.gate_of(gate, costly, is_census)))
        yield from ()


def gate_set(folder: Path) -> CascadeThreshold:
    """The gate that the survey in the step's `folder` has set. Raises ArtifactError where it is missing or damaged."""
    return read_record(CascadeThreshold, folder / _GATE)


def surveyed(folder: Path, shard: Shard) -> dict[int, tuple[float, list[float]]]:
    """By place in the shard, the gate score and the costly scores of the documents that were drawn and have some."""
    survey = _read(_survey_of(folder, shard))
    return {int(row): (scores[0], scores[1])
            for row, scores in sorted(survey.items(), key=lambda item: int(item[0])) if scores is not None}  # fmt: skip


def _survey_of(folder: Path, shard: Shard) -> Path:
    return folder / "survey" / f"{shard.stem}.json"


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
