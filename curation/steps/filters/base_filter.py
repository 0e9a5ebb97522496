"""What the steps share that are a filter of datatrove's: the filter judges, hormesis keeps what it removes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curation.steps.base import Context, Step
from infra.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.filters.base_filter import BaseFilter


@contextlib.contextmanager
def told(step: str) -> Iterator[None]:
    """Tell a package that a step lacks, or a parameter that datatrove refuses, as an error of the user's."""
    try:
        yield
    except ImportError as error:
        raise UnavailableError(f"the step {step} needs a package: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise InputError(f"the step {step}: {' '.join(str(error).split())}") from None


def language_known(language: str | None) -> None:
    """Raise ValueError for a language that datatrove has no word tokenizer for, ImportError where that is missing."""
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    if language is not None:
        load_word_tokenizer(language).word_tokenize("a word")


class FilterStep(Step):
    """A filter of datatrove's under its own parameter names. Its reason is the reason of what is removed."""

    def filter(self, **parameters: Any) -> BaseFilter:
        """The filter, from the YAML's parameters."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Any]:
        """What the YAML says, less our own keys."""
        return self.spec.model_dump(exclude={"step", "corpora"})

    def check(self) -> None:
        """Make the filter here, so that a missing package is told before any worker starts."""
        with told(self.spec.step):
            self.filter(**self.parameters())
            language_known(getattr(self.spec, "language", None))

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Yield what the filter keeps. Some filters rewrite the text: it is put back, unless the step is to edit it."""
        from datatrove.pipeline.filters.base_filter import get_filter_result

        from curation.text.word_tokenizer import BoundedTokenizer

        judge = self.filter(**self.parameters())
        if hasattr(judge, "language"):  # datatrove loads its tokenizer by it, when it first judges
            judge.language = BoundedTokenizer(judge.language)
        for document in documents:
            text = document.text
            passed, reason = get_filter_result(judge.filter(document))
            if not (passed and self.spec.edits_text):
                document.text = text
            if passed:
                yield document
            else:
                context.removed.remove(document, reason or "")
