"""Held-out documents of a mixture: what cross-entropy is measured on, and what strengths are found on."""

from __future__ import annotations

import polars as pl

from infra.artifacts.artifact import read_artifact
from infra.config.faults import nearest
from infra.errors import AmountError
from mixtures.formats.file_names import HELD_OUT_TEXTS


def held_out_documents(mixture: str, component: str) -> list[tuple[str, str]]:
    """(id, text) of a component's held-out documents, in the mixture's order. Raises AmountError for none."""
    table = pl.read_parquet(read_artifact(mixture, "mixture").path / HELD_OUT_TEXTS)
    chosen = table.filter(pl.col("component") == component)
    if chosen.is_empty():
        known = sorted(table["component"].unique().to_list())
        raise AmountError(f"no held-out documents of {component!r}; there are {known}{nearest(component, known)}")
    return chosen.select("id", "text").rows()
