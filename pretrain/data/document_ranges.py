"""From the targets of a training sample to the documents that they come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mixtures.reading.built import BuiltMixture
from mixtures.reading.origins import Origin, origins
from pretrain.data.samples import TargetRange


@dataclass(frozen=True)
class DocumentRange:
    """A run of a sample's targets, first <= i < last, that come from one document."""

    origin: Origin
    first: int
    last: int


def document_ranges(mixture: BuiltMixture, ranges: Iterable[TargetRange]) -> Iterator[DocumentRange]:
    """The documents of a sample, in the order of its targets; each is looked up when it is asked for."""
    first = 0
    for targets in ranges:
        component = mixture.components[targets.component].name
        (origin,) = origins(mixture, component, targets.position, targets.position + targets.tokens)
        yield DocumentRange(origin, first, first + targets.tokens)
        first += targets.tokens
