"""The step `language`: fastText language identification, with the settings of datatrove's LanguageFilter.

datatrove's own filter insists on another fastText distribution, which fails with numpy 2, and downloads its model by
itself; so the model is ours to name, and its probability is what datatrove would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from curation.corpus.documents import batches
from curation.models.fasttext import FasttextModel, fasttext_digest, load_fasttext
from curation.sources.wheels import file_of
from curation.steps.base import Context, Step
from curation.steps.filters.filter_options import LanguageSpec

if TYPE_CHECKING:
    from datatrove.data import Document


class Language(Step):
    """Probability of each language for the whole text."""

    options = LanguageSpec
    spec: LanguageSpec

    def inputs(self) -> dict[str, str]:
        """The model's content."""
        return {"model": fasttext_input(self.spec.model, self.spec.sha256)}

    def check(self) -> None:
        """Load the model, and look for the languages in it."""
        model = self._model()
        for language in self.spec.languages or ():
            model.column_of(language)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Write the language of each document, and remove those in others."""
        model = self._model()
        names = self.spec.languages or model.labels
        columns = [model.column_of(name) for name in names]
        for batch in batches(documents):
            table = model.probabilities([document.text for document in batch])
            best = table.argmax(axis=1)
            for document, row, column in zip(batch, table, best, strict=True):
                score, requested = float(row[column]), row[columns].tolist()
                document.metadata |= {"language": model.labels[column], "language_score": score}
                self._top_pairs(document, dict(zip(names, requested, strict=True)))
                if self.spec.label_only or self._stays(score, requested):
                    yield document
                else:
                    context.removed.remove(document, f"language {model.labels[column]}")

    def describe(self) -> str:
        """`language: en, de`."""
        return f"language: {'label only' if self.spec.label_only else ', '.join(self.spec.languages or ['any'])}"

    def _model(self) -> FasttextModel:
        return load_fasttext(file_of(self.spec.model, self.spec.sha256))

    def _stays(self, best: float, requested: list[float]) -> bool:
        """As datatrove decides it: any of the languages asked for, or, where none is, whichever is best."""
        scores = requested if self.spec.languages is not None else [best]
        return any(score > self.spec.language_threshold for score in scores)

    def _top_pairs(self, document: Document, pairs: dict[str, float]) -> None:
        floor = self.spec.keep_top_pairs_threshold
        if floor != -1:
            document.metadata |= {f"top_language_{name}_score": score for name, score in pairs.items() if score > floor}


def fasttext_input(model: str, sha256: str | None) -> str:
    """Checksum of a fastText model, wherever it lies."""
    return fasttext_digest(file_of(model, sha256))
