"""The evaluation `cross_entropy`: nats per token on held-out documents, under the same steering as the generations.

This is the price of a method: what it costs in predicting text that no arm was trained on. Targets are those of
training's own held-out cross-entropy (see `posttrain.cross_entropy`), and the UTF-8 bytes of each document stand
beside, for bits per byte.
"""

from __future__ import annotations

import math
from typing import Any

from analysis.evaluations.base import Evaluation
from analysis.evaluations.held_out import measured_documents
from analysis.evaluations.options import CrossEntropySpec
from analysis.results import BYTES, Row, Score
from curation.sources.input_files import content_of


class CrossEntropy(Evaluation[CrossEntropySpec]):
    """A chunk is the documents that count, or further ones: a pass over them costs far less than the generations."""

    options = CrossEntropySpec
    version = 2  # with the end of a document as a target
    reads = ("mixture",)

    @staticmethod
    def identity(options: CrossEntropySpec) -> dict[str, Any]:
        """Options, with the content of what is read of files."""
        texts = [[name, content_of(read.texts)] for name, read in options.measured.items() if read.texts is not None]
        return options.identity() | ({"texts": texts} if texts else {})

    def chunks(self) -> int:
        """One for the documents that count, one for each further ones."""
        return len(self.spec.measured)

    def rows(self, chunk: int) -> list[Row]:
        """One row a document; without a token to predict, or with a cross-entropy that is no number, it has no value.
        Raises AmountError for no document.
        """
        instance, options = list(self.spec.measured.items())[chunk]
        documents = measured_documents(options, self.subject.mixture)
        measured = self.subject.steered.cross_entropy(
            [text for _, text in documents], max_tokens_per_document=options.max_tokens_per_document
        )
        figures = zip(measured.nats.tolist(), measured.tokens.tolist(), measured.utf8_bytes.tolist(), strict=True)
        return [
            Row(
                instance=instance,
                prompt=number,
                prompt_id=identity,
                value=nats / tokens if tokens and math.isfinite(nats) else None,
                tokens=tokens,
                reason=_reason(nats, tokens),
                scores=(Score("", BYTES, float(size)),),
            )
            for number, ((identity, _), (nats, tokens, size)) in enumerate(zip(documents, figures, strict=True))
        ]


def _reason(nats: float, tokens: int) -> str | None:
    if tokens == 0:
        return "no token to predict"
    return None if math.isfinite(nats) else f"the cross-entropy is {nats}"
