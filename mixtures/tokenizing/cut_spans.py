"""Documents with their risky spans cut out: the low-risk arm of SLUNG (Wang et al. 2025, arXiv 2505.03052)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Interval = tuple[int, int]


def cut_spans(batch: pa.RecordBatch, attribute: str, at_or_above: float) -> pa.RecordBatch:
    """The batch with every span of `attribute` at or above the threshold cut out of its text.

    Other spans move with their text and lose what is cut. White space behind a cut goes with it where white space, or
    the beginning of the text, stands before it. Needs the columns `text` and `spans`, checked against each other.
    """
    rows = _risky_rows(batch, attribute, at_or_above)
    if not len(rows):
        return batch
    texts, spans = batch.column("text").to_pylist(), batch.column("spans").to_pylist()
    for row in rows:
        cuts = _cuts(texts[row], spans[row], attribute, at_or_above)
        spans[row] = _moved(spans[row], cuts)
        texts[row] = _without(texts[row], cuts)
    names, schema = batch.schema.names, batch.schema
    changed = {"text": pa.array(texts, schema.field("text").type), "spans": pa.array(spans, schema.field("spans").type)}
    return pa.RecordBatch.from_arrays([changed.get(name, batch.column(name)) for name in names], schema=schema)


def _risky_rows(batch: pa.RecordBatch, attribute: str, at_or_above: float) -> np.ndarray[Any, Any]:
    """Documents with something to cut."""
    column = batch.column("spans")
    counts = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    values = column.flatten()
    named = pc.equal(values.field("attribute").cast(pa.string()), attribute).to_numpy(zero_copy_only=False)
    scores = values.field("score").to_numpy(zero_copy_only=False)
    document = np.repeat(np.arange(batch.num_rows), counts)
    return np.unique(document[named.astype(bool) & (scores >= np.float32(at_or_above))])


def _cuts(text: str, spans: list[dict[str, Any]], attribute: str, at_or_above: float) -> list[Interval]:
    """What goes, ascending and apart from each other."""
    floor = float(np.float32(at_or_above))
    risky = sorted((s["start"], s["end"]) for s in spans if s["attribute"] == attribute and s["score"] >= floor)
    cuts: list[Interval] = []
    for start, end in risky:
        if cuts and start <= cuts[-1][1]:
            start, end = cuts[-1][0], max(end, cuts[-1][1])
            cuts.pop()
        if not text[:start].strip() or text[start - 1].isspace():
            while end < len(text) and text[end].isspace():
                end += 1
        cuts.append((start, end))
    return cuts


def _without(text: str, cuts: list[Interval]) -> str:
    pieces, position = [], 0
    for start, end in cuts:
        pieces.append(text[position:start])
        position = end
    return "".join([*pieces, text[position:]])


def _moved(spans: list[dict[str, Any]], cuts: list[Interval]) -> list[dict[str, Any]]:
    """The spans in the text that is left; those wholly cut are gone."""
    starts = [start for start, _ in cuts]
    gone = np.cumsum([0, *(end - start for start, end in cuts)]).tolist()

    def new_offset(offset: int) -> int:
        before = bisect_right(starts, offset)
        inside = max(0, cuts[before - 1][1] - offset) if before else 0
        return int(offset - gone[before] + inside)

    moved = [span | {"start": new_offset(span["start"]), "end": new_offset(span["end"])} for span in spans]
    return [span for span in moved if span["start"] < span["end"]]
