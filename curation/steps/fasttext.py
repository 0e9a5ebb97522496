"""The step `fasttext`: any fastText classifier, to annotate or to filter.

The keys are those of datatrove's FastTextClassifierFilter, which cannot be used as it is: it insists on another
fastText distribution, knows a model by its path only, and fails where no labels to keep or to remove are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curation.corpus.documents import batches
from curation.models.fasttext import FasttextModel, load_fasttext
from curation.sources.wheels import file_of
from curation.steps.base import Context, Step
from curation.steps.filters.filter_options import FasttextSpec
from curation.steps.language import fasttext_input

if TYPE_CHECKING:
    from datatrove.data import Document


class FasttextStep(Step):
    """Probability of each label for the whole text."""

    options = FasttextSpec
    spec: FasttextSpec

    def inputs(self) -> dict[str, str]:
        """The model's content."""
        return {"model": fasttext_input(self.spec.model, self.spec.sha256)}

    def check(self) -> None:
        """Load the model, and look for the labels in it."""
        model = self._model()
        for label, _ in (*(self.spec.keep_labels or ()), *(self.spec.remove_labels or ())):
            model.column_of(label)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Write the probabilities, and remove what is to go."""
        model = self._model()
        for batch in batches(documents):
            table = model.probabilities([document.text for document in batch])
            for document, row in zip(batch, table.tolist(), strict=True):
                scores = dict(zip(model.labels, row, strict=True))
                if self.spec.save_labels_in_metadata:
                    document.metadata |= {self.spec.prefix + label: score for label, score in scores.items()}
                if reason := self._reason(scores):
                    context.removed.remove(document, reason)
                else:
                    yield document

    def describe(self) -> str:
        """`fasttext: quality.bin, keep good`."""
        labels = [f"keep {label}" for label, _ in self.spec.keep_labels or ()]
        labels += [f"remove {label}" for label, _ in self.spec.remove_labels or ()]
        return f"fasttext: {', '.join([self.spec.model.rpartition('/')[2], *(labels or ['annotate'])])}"

    def _model(self) -> FasttextModel:
        return load_fasttext(file_of(self.spec.model, self.spec.sha256))

    def _reason(self, scores: dict[str, float]) -> str:
        """Why a document goes; '' where it stays."""
        for label, least in self.spec.remove_labels or ():
            if scores[label.removeprefix("__label__")] >= least:
                return f"{label} >= {least:g}"
        keep = self.spec.keep_labels
        if keep and not any(scores[label.removeprefix("__label__")] >= least for label, least in keep):
            return " and ".join(f"{label} < {least:g}" for label, least in keep)
        return ""
