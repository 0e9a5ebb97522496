"""From a token of a built mixture back to the document it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from infra.errors import InputError
from mixtures.formats.file_names import DOCUMENTS
from mixtures.reading.built import BuiltMixture
from mixtures.tokenizing.encode import Encoder
from mixtures.tokenizing.marking import offsets_of


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
    table = ds.dataset(mixture.path / DOCUMENTS).to_table(
        filter=(pc.field("component") == component)
        & (pc.field("first_token") < last)
        & (pc.field("first_token") + pc.field("tokens") > first)
    )
    documents = []
    for row in table.sort_by("first_token").to_pylist():
        start = row.pop("first_token")
        row.pop("risky_tokens")
        position = max(first, start)
        documents.append(Origin(position=position, token=position - start, **row))
    return documents


@dataclass(frozen=True)
class SpanOfTokens:
    """A span of the tagged corpus, in characters of its document, and the tokens first <= i < last of a range that it
    overlaps.
    """

    start: int
    end: int
    attribute: str
    score: float
    text: str
    first: int
    last: int


def spans_of(
    mixture: BuiltMixture, curation: Path, origin: Origin, tokens: np.ndarray[Any, Any]
) -> list[SpanOfTokens] | None:
    """Spans of the document that overlap these `tokens` of it, which begin at `origin.token`.

    None where the tokens are not those of the document's text (risky spans were cut out or replaced before).
    """
    row = _row(curation / "corpora" / origin.corpus / origin.shard, origin.row)
    encoder = Encoder(mixture.tokenizer / "tokenizer.json", mixture.facts.eos_id).tokenizer
    encoding = encoder.encode(row["text"], add_special_tokens=False)
    prefix = max(0, origin.prefix_tokens - origin.token)  # of the tokens at hand
    begin = origin.token + prefix - origin.prefix_tokens
    written = slice(begin, begin + len(tokens) - prefix)
    if [*encoding.ids, mixture.facts.eos_id][written] != tokens[prefix:].tolist():
        return None
    offsets = offsets_of(encoding, row["text"])[written]
    overlapping = []
    for span in row["spans"] or ():
        over = np.flatnonzero((offsets[:, 0] < span["end"]) & (offsets[:, 1] > span["start"]))
        if len(over):
            text = row["text"][span["start"] : span["end"]]
            first, last = prefix + int(over[0]), prefix + int(over[-1]) + 1
            overlapping.append(SpanOfTokens(**span, text=text, first=first, last=last))
    return overlapping


def _row(shard: Path, row: int) -> dict[str, Any]:
    """Text and spans of one document, reading only the row group that holds it."""
    with pq.ParquetFile(shard) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if row < size:
                table = file.read_row_group(group, columns=["text", "spans"])
                document: dict[str, Any] = table.slice(row, 1).to_pylist()[0]
                return document
            row -= size
    raise InputError(f"{shard}: has no row {row}; it is not the shard that the mixture was built from")
