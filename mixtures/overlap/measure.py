"""Overlap of a mixture: of each part, training or held out, how much is also in the training data of each component."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.render.page import Table
from mixtures.corpora.select import Ints, Mask
from mixtures.selection.resolve import Component, TokenisedCorpus

GROUPS = "groups.parquet"


@dataclass(frozen=True)
class DocumentSet:
    """Documents of a component that are trained on, or those that are held out; each once, with their groups."""

    component: str
    held_out: bool
    tokens: Ints
    equal: Ints
    near: Ints


@dataclass(frozen=True)
class Overlap:
    """Documents and tokens of one part that are equal, or nearly or quite equal, to one of a component's training."""

    component: str
    held_out: bool
    also_in: str
    documents: int
    tokens: int
    equal_documents: int
    equal_tokens: int
    near_documents: int
    near_tokens: int


def measure(components: Iterable[Component], groups: Path) -> list[dict[str, Any]]:
    """`Overlap`, as plain data, for every part and every component's training documents. A part held against itself
    counts documents that have their like in it.
    """
    parts = [part for each in components for part in _parts(each, _groups(each.source, groups))]
    training = [part for part in parts if not part.held_out and len(part.tokens)]
    return [asdict(_shared(part, other)) for part in parts if len(part.tokens) for other in training]


def table_of(rows: Iterable[Mapping[str, Any]]) -> Table:
    """The measurement for people: shares are of tokens."""
    columns = ("documents of", "also in training of", "documents", "equal", "share", "nearly equal or equal", "share")
    shown = tuple(
        (
            f"{row['component']}{', held out' if row['held_out'] else ''}",
            "itself" if row["component"] == row["also_in"] and not row["held_out"] else row["also_in"],
            row["documents"],
            row["equal_documents"],
            f"{row['equal_tokens'] / row['tokens']:.2%}",
            row["near_documents"],
            f"{row['near_tokens'] / row['tokens']:.2%}",
        )
        for row in rows
    )
    return Table("Overlap (share of tokens)", columns, shown)


def _groups(source: TokenisedCorpus, groups: Path) -> tuple[Ints, Ints]:
    """For every document of a corpus the numbers of its two groups."""
    rows = pq.read_table(groups, filters=pc.field("corpus") == source.corpus.name)
    place = source.documents.find(rows.column("shard").to_numpy(), rows.column("row").to_numpy())
    found = []
    for name in ("equal", "near"):
        numbers = np.full(len(source.documents), -1, np.int64)
        numbers[place] = rows.column(name).to_numpy()
        found.append(numbers)
    return found[0], found[1]


def _parts(component: Component, groups: tuple[Ints, Ints]) -> Iterable[DocumentSet]:
    everything = component.source.documents
    taken = component.training.take(np.unique(component.selection.position))
    for documents, held_out in ((taken, False), (component.held_out, True)):
        place = everything.find(documents.shard, documents.row)
        yield DocumentSet(component.name, held_out, documents.tokens, groups[0][place], groups[1][place])


def _shared(part: DocumentSet, other: DocumentSet) -> Overlap:
    equal = _in(part, other, part.equal, other.equal)
    near = equal | _in(part, other, part.near, other.near)
    return Overlap(
        component=part.component,
        held_out=part.held_out,
        also_in=other.component,
        documents=len(part.tokens),
        tokens=int(part.tokens.sum()),
        equal_documents=int(equal.sum()),
        equal_tokens=int(part.tokens[equal].sum()),
        near_documents=int(near.sum()),
        near_tokens=int(part.tokens[near].sum()),
    )


def _in(part: DocumentSet, other: DocumentSet, numbers: Ints, others: Ints) -> Mask:
    """Which documents have their like among the others."""
    groups, counts = np.unique(others[others >= 0], return_counts=True)
    return np.isin(numbers, groups[counts > 1] if part is other else groups)
