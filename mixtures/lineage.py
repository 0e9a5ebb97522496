"""From a token of a built mixture back to the document it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds

from infra.errors import InputError
from mixtures.built import BuiltMixture


@dataclass(frozen=True)
class Origin:
    """Where a token came from: row `row` of `corpora/CORPUS/SHARD` in the curation artifact; `token` counts in the
    document as it was written, of which the first `prefix_tokens` are its prefix.
    """

    component: str
    position: int
    ordinal: int
    epoch: int
    corpus: str
    shard: str
    row: int
    id: str
    token: int
    tokens: int
    truncated: bool
    prefix_tokens: int = 0


def origin(mixture: BuiltMixture, component: str, position: int) -> Origin:
    """Document that holds token number `position` (from 0) of `component`. Raises InputError outside the component."""
    return origins(mixture, component, position, position + 1)[0]


def origins(mixture: BuiltMixture, component: str, first: int, last: int) -> list[Origin]:
    """Documents that the tokens first <= position < last of `component` come from, in order: a training sample's
    sources.

    `token` is where the range enters the document.
    """
    files = mixture.component(component)
    if not 0 <= first < last <= files.tokens:
        raise InputError(f"{component} has {files.tokens:,} tokens; there is no range {first:,} to {last:,} in it")
    table = ds.dataset(Path(mixture.path) / "documents.parquet").to_table(
        filter=(pc.field("component") == component)
        & (pc.field("first_token") < last)
        & (pc.field("first_token") + pc.field("tokens") > first)
    )
    found = []
    for row in table.sort_by("first_token").to_pylist():
        start = row.pop("first_token")
        row.pop("risky_tokens")
        position = max(first, start)
        found.append(Origin(position=position, token=position - start, **row))
    return found
