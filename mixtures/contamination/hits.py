"""What the scans of a mixture's corpora hit: documents to leave out, and the refusal of a set that is all there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifacts.records import read_record
from infra.errors import InputError
from infra.render.page import Table
from mixtures.corpora.select import CorpusDocuments, Mask
from mixtures.reading.manifest import ContaminationReport, SetCounts
from mixtures.spec.contamination import DecontaminationSpec

HITS, SETS = "hits.parquet", "sets.json"
SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int32()),
        ("id", pa.string()),
        ("set", pa.string()),
        ("ngrams", pa.int32()),
        ("first", pa.string()),
    ]
)


@dataclass(frozen=True)
class Contamination:
    """Of one corpus: a row of `hits` for each document with an n-gram of an evaluation set, and counts of each set's
    texts.
    """

    hits: pa.Table
    sets: dict[str, SetCounts]

    @classmethod
    def open(cls, artifact: Path) -> Contamination:
        """Read what `scan` left."""
        return cls(pq.read_table(artifact / HITS), read_record(dict[str, SetCounts], artifact / SETS))

    def among(self, documents: CorpusDocuments) -> Mask:
        """Which of the corpus's documents, those of all its shards one after another, are hit."""
        mask = np.zeros(len(documents), dtype=bool)
        mask[documents.find(self.hits.column("shard").to_numpy(), self.hits.column("row").to_numpy())] = True
        return mask


Contaminations = Mapping[str, Contamination]
"""By corpus; empty where the mixture names no evaluation set."""


def refuse_inside(spec: DecontaminationSpec, contaminations: Contaminations) -> None:
    """Raise one InputError that names every evaluation set which is itself in a corpus."""
    inside = [
        f"  {name}: {counts.inside:,} of its {counts.long_enough:,} texts stand wholly in corpus {corpus!r}"
        + _example(contamination, name)
        for corpus, contamination in contaminations.items()
        for name, counts in contamination.sets.items()
        if counts.inside > spec.max_inside * counts.long_enough
    ]
    if inside:
        lines = "\n".join(inside)
        raise InputError(
            f"decontaminate: evaluation sets are inside the training data:\n{lines}\ntake their source out of the "
            "curation; or set decontaminate.max_inside: 1 to leave out just the documents that hold their n-grams"
        )


def _example(contamination: Contamination, name: str) -> str:
    ids = [row["id"] for row in contamination.hits.to_pylist() if row["set"] == name]
    return f", as in document {ids[0]!r}" if ids else ""


def report(
    spec: DecontaminationSpec, contaminations: Contaminations, left_out: Mapping[str, int]
) -> ContaminationReport:
    """What the mixture's manifest says: counts by set and corpus, and the documents left out of each component."""
    return ContaminationReport(
        n_grams=spec.n_grams,
        sets={corpus: contamination.sets for corpus, contamination in contaminations.items()},
        documents=dict(left_out),
    )


def tables_of(report: ContaminationReport) -> tuple[Table, Table]:
    """The report for people: what there is of each set in each corpus, and what each component went without."""
    columns = ("evaluation set", "in corpus", "texts", "long enough", "found", "found wholly")
    rows = tuple(
        (name, corpus, counts.texts, counts.long_enough, counts.touched, counts.inside)
        for corpus, sets in report.sets.items()
        for name, counts in sets.items()
    )
    without = Table("Left out for them", ("component", "documents"), tuple(report.documents.items()))
    return Table(f"Texts of evaluation sets, by their {report.n_grams}-grams", columns, rows), without
