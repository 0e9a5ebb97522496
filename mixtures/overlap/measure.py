"""Overlap of a mixture: of each side, training or held out, how much is also in the training data of each component."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.render.page import Table
from mixtures.corpora.select import Ints, Mask
from mixtures.reading.manifest import Overlap
from mixtures.selection.resolve import Component, TokenisedCorpus

GROUPS = "groups.parquet"


@dataclass(frozen=True)
class DocumentSet:
    """Documents of a component that are trained on, or those that are held out, each once: [documents] tokens, and the
    numbers of their groups of equal and of nearly equal documents (-1: alone).
    """

    component: str
    held_out: bool
    tokens: Ints
    equal: Ints
    near: Ints


def measure(components: Iterable[Component], groups: Path) -> list[Overlap]:
    """The overlap of every side, training or held out, with every component's training documents. A side held against
    itself counts documents that have their like in it.
    """
    sides: list[DocumentSet] = []
    for component in components:
        sides += _sides(component, _groups(component.source, groups))
    training = [side for side in sides if not side.held_out and len(side.tokens)]
    return [_shared(side, other) for side in sides if len(side.tokens) for other in training]


def table_of(overlaps: Iterable[Overlap]) -> Table:
    """The measurement for people: shares are of tokens."""
    columns = ("documents of", "also in training of", "documents", "equal", "share", "nearly equal or equal", "share")
    shown = tuple(
        (
            f"{overlap.component}{', held out' if overlap.held_out else ''}",
            "itself" if overlap.component == overlap.also_in and not overlap.held_out else overlap.also_in,
            overlap.documents,
            overlap.equal_documents,
            f"{overlap.equal_tokens / overlap.tokens:.2%}",
            overlap.near_documents,
            f"{overlap.near_tokens / overlap.tokens:.2%}",
        )
        for overlap in overlaps
    )
    return Table("Overlap (share of tokens)", columns, shown)


def _groups(source: TokenisedCorpus, groups: Path) -> tuple[Ints, Ints]:
    """For every document of a corpus the numbers of its two groups."""
    rows = pq.read_table(groups, filters=pc.field("corpus") == source.corpus.name)
    index = source.documents.find(rows.column("shard").to_numpy(), rows.column("row").to_numpy())
    equal, near = (np.full(len(source.documents), -1, np.int64) for _ in range(2))
    equal[index], near[index] = rows.column("equal").to_numpy(), rows.column("near").to_numpy()
    return equal, near


def _sides(component: Component, groups: tuple[Ints, Ints]) -> Iterable[DocumentSet]:
    everything = component.source.documents
    taken = component.training.take(np.unique(component.selection.position))
    for documents, held_out in ((taken, False), (component.held_out, True)):
        index = everything.find(documents.shard, documents.row)
        yield DocumentSet(component.name, held_out, documents.tokens, groups[0][index], groups[1][index])


def _shared(side: DocumentSet, other: DocumentSet) -> Overlap:
    equal = _in(side, other, side.equal, other.equal)
    near = equal | _in(side, other, side.near, other.near)
    return Overlap(
        component=side.component,
        held_out=side.held_out,
        also_in=other.component,
        documents=len(side.tokens),
        tokens=int(side.tokens.sum()),
        equal_documents=int(equal.sum()),
        equal_tokens=int(side.tokens[equal].sum()),
        near_documents=int(near.sum()),
        near_tokens=int(side.tokens[near].sum()),
    )


def _in(side: DocumentSet, other: DocumentSet, numbers: Ints, others: Ints) -> Mask:
    """Which documents have their like among the others."""
    groups, counts = np.unique(others[others >= 0], return_counts=True)
    return np.isin(numbers, groups[counts > 1] if side is other else groups)
