"""The step `gopher_repetition`: datatrove's repetition rules of Gopher (Rae et al. 2021, arXiv 2112.11446)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from curation.steps.base import StepSpec
from curation.steps.base_filter import FilterStep

if TYPE_CHECKING:
    from datatrove.pipeline.filters import GopherRepetitionFilter


class GopherRepetitionSpec(StepSpec):
    """Removes documents that repeat themselves; null turns a rule off. All numbers are shares, in [0, 1]."""

    step: Literal["gopher_repetition"] = "gopher_repetition"
    dup_line_frac: float | None = 0.3
    """Largest share of lines that stood before."""
    dup_para_frac: float | None = 0.3
    """Largest share of paragraphs that stood before."""
    dup_line_char_frac: float | None = 0.2
    """Largest share of characters in such lines."""
    dup_para_char_frac: float | None = 0.2
    """Largest share of characters in such paragraphs."""
    top_n_grams: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    """[n, share]: most characters in the most frequent n-gram."""
    dup_n_grams: tuple[tuple[int, float], ...] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    """[n, share]: most characters in n-grams that stood before."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class GopherRepetition(FilterStep):
    """datatrove's GopherRepetitionFilter."""

    options = GopherRepetitionSpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> GopherRepetitionFilter:
        """The filter."""
        from datatrove.pipeline.filters import GopherRepetitionFilter

        return GopherRepetitionFilter(**parameters)
