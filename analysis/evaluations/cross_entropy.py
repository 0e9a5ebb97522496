"""The evaluation `cross_entropy`: nats per token on held-out documents, under the same steering as the generations.

This is the price of a method: what it costs in predicting text that no arm was trained on.
"""

from __future__ import annotations

import polars as pl

from analysis.evaluations.base import Evaluation, Row
from analysis.evaluations.options import CrossEntropySpec
from infra.artifacts.artifact import read_artifact
from infra.config.faults import nearest
from infra.errors import AmountError, InputError
from mixtures.formats.file_names import HELD_OUT_TEXTS


class CrossEntropy(Evaluation):
    """All documents are one chunk: a pass over them costs far less than the generations."""

    options = CrossEntropySpec
    given: CrossEntropySpec

    def chunks(self) -> int:
        """Always one."""
        return 1

    def rows(self, chunk: int) -> list[Row]:
        """One row a document; a document without a token to predict has no value. Raises AmountError for none."""
        documents = self._documents()
        found = self.subject.steered.cross_entropy(
            [text for _, text in documents], max_tokens_per_document=self.given.max_tokens_per_document
        )
        return [
            {
                "prompt": number,
                "sample": 0,
                "prompt_id": identity,
                "value": float(nats / tokens) if tokens else None,
                "tokens": int(tokens),
                "reason": None if tokens else "no token to predict",
            }
            for number, ((identity, _), nats, tokens) in enumerate(
                zip(documents, found.nats, found.tokens, strict=True)
            )
        ]

    def _documents(self) -> list[tuple[str, str]]:
        """(id, text) of the held-out documents."""

        if self.subject.mixture is None:
            raise InputError("cross_entropy reads held-out documents: give `mixture:`")
        table = pl.read_parquet(read_artifact(self.subject.mixture, "mixture").path / HELD_OUT_TEXTS)
        chosen = table.filter(pl.col("component") == self.given.component)
        if chosen.is_empty():
            known = sorted(table["component"].unique().to_list())
            hint = nearest(self.given.component, known)
            raise AmountError(f"no held-out documents of {self.given.component!r}; there are {known}{hint}")
        return chosen.select("id", "text").head(self.given.max_documents or len(chosen)).rows()
