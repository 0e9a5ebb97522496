"""The evaluation `cross_entropy`: nats per token on held-out documents, under the same steering as the generations.

This is the price of a method: what it costs in predicting text that no arm was trained on.
"""

from __future__ import annotations

import math

from analysis.evaluations.base import Evaluation
from analysis.evaluations.held_out import held_out_documents
from analysis.evaluations.options import CrossEntropySpec
from analysis.results import Row
from infra.errors import InputError


class CrossEntropy(Evaluation[CrossEntropySpec]):
    """All documents are one chunk: a pass over them costs far less than the generations."""

    options = CrossEntropySpec
    reads = ("mixture",)

    def chunks(self) -> int:
        """Always one."""
        return 1

    def rows(self, chunk: int) -> list[Row]:
        """One row a document; without a token to predict, or with a cross-entropy that is no number, it has no value.
        Raises AmountError for no document.
        """
        documents = self._documents()
        measured = self.subject.steered.cross_entropy(
            [text for _, text in documents], max_tokens_per_document=self.spec.max_tokens_per_document
        )
        return [
            Row(
                prompt=number,
                prompt_id=identity,
                value=float(nats / tokens) if tokens and math.isfinite(nats) else None,
                tokens=int(tokens),
                reason=_reason(float(nats), int(tokens)),
            )
            for number, ((identity, _), nats, tokens) in enumerate(
                zip(documents, measured.nats, measured.tokens, strict=True)
            )
        ]

    def _documents(self) -> list[tuple[str, str]]:
        """(id, text) of the held-out documents."""
        if self.subject.mixture is None:
            raise InputError("cross_entropy reads held-out documents: give `mixture:`")
        return held_out_documents(self.subject.mixture, self.spec.component)[: self.spec.max_documents]


def _reason(nats: float, tokens: int) -> str | None:
    if tokens == 0:
        return "no token to predict"
    return None if math.isfinite(nats) else f"the cross-entropy is {nats}"
