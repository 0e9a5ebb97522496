"""The step `fasttext`: any fastText classifier, to annotate or to filter.

The keys are those of datatrove's FastTextClassifierFilter, which cannot be used as it is: it insists on another
fastText distribution, knows a model by its path only, and fails where no labels to keep or to remove are given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from curation.documents import batches
from curation.fasttext_model import FasttextModel, load_fasttext
from curation.steps.base import Context, Step, StepSpec
from curation.steps.language import fasttext_input
from curation.wheels import file_of
from infra.spec import Location

if TYPE_CHECKING:
    from datatrove.data import Document

Labels = tuple[tuple[str, float], ...]


class FasttextSpec(StepSpec):
    """Writes the probability of every label into the metadata, and removes documents where it is told to.

    To score documents for risk with a fastText model, use the scorer `fasttext` in a `score` step instead.
    """

    step: Literal["fasttext"] = "fasttext"
    model: Location
    """fastText model file (.bin or .ftz), or `wheel:NAME==VERSION/path/inside`."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel where the model is inside one."""
    keep_labels: Labels | None = None
    """[label, probability]: a document stays if any of these labels is at least so probable."""
    remove_labels: Labels | None = None
    """[label, probability]: a document goes if any of these labels is at least so probable."""
    save_labels_in_metadata: bool = True
    """Write the probabilities, under `prefix` and the label."""
    prefix: str = ""
    """Stands before the labels in the metadata."""

    @model_validator(mode="after")
    def _one_of_them(self) -> FasttextSpec:
        if self.keep_labels and self.remove_labels:
            raise ValueError("keep_labels and remove_labels exclude each other")
        if not (self.keep_labels or self.remove_labels or self.save_labels_in_metadata):
            raise ValueError("the step would do nothing: give keep_labels, remove_labels or save_labels_in_metadata")
        return self


class Fasttext(Step):
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
            model.place_of(label)

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
