"""Documents that cross-entropy is measured on, and strengths are found on: of a mixture's hold-out, or of a file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import polars as pl

from analysis.evaluations.options import DocumentsSpec, TextsSpec
from curation.sources.read import read_source
from infra.artifacts.artifact import read_artifact
from infra.config.faults import nearest
from infra.errors import AmountError, InputError
from mixtures.formats.file_names import HELD_OUT_TEXTS

Document = tuple[str, str]
"""Id and text."""


def held_out_documents(mixture: str, component: str) -> list[Document]:
    """(id, text) of a component's held-out documents, in the mixture's order. Raises AmountError for none."""
    table = pl.read_parquet(read_artifact(mixture, "mixture").path / HELD_OUT_TEXTS)
    chosen = table.filter(pl.col("component") == component)
    if chosen.is_empty():
        known = sorted(table["component"].unique().to_list())
        raise AmountError(f"no held-out documents of {component!r}; there are {known}{nearest(component, known)}")
    return chosen.select("id", "text").rows()


def documents_of(options: TextsSpec, mixture: str | None) -> Iterator[Document]:
    """(id, text) of the documents of a section, in order. Raises InputError where they are of no mixture."""
    if options.texts is not None:
        return ((document.id, document.text) for document in read_source(options.texts))
    if mixture is None:
        raise InputError("cross-entropy reads held-out documents: give `mixture:`, or `texts:` for those of a file")
    return iter(held_out_documents(mixture, options.component))


def measured_documents(options: DocumentsSpec, mixture: str | None) -> list[Document]:
    """Those that are measured. Raises AmountError for none, and as `documents_of`."""
    documents = list(islice(documents_of(options, mixture), options.max_documents))
    if not documents:
        raise AmountError(f"there are no {options.source_name}")
    return documents
