"""The step `gopher_quality`: datatrove's quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from curation.steps.base import StepSpec
from curation.steps.base_filter import FilterStep

if TYPE_CHECKING:
    from datatrove.pipeline.filters import GopherQualityFilter


class GopherQualitySpec(StepSpec):
    """Removes documents that do not look like prose; null turns a rule off. Lengths are counted in words."""

    step: Literal["gopher_quality"] = "gopher_quality"
    min_doc_words: int | None = 50
    """Fewest words. Forum posts and comments are shorter: lower it, or keep the step to other corpora."""
    max_doc_words: int | None = 100_000
    """Most words."""
    min_avg_word_length: float | None = 3
    """Shortest mean length of a word, in letters."""
    max_avg_word_length: float | None = 10
    """Longest mean length of a word, in letters."""
    max_symbol_word_ratio: float | None = 0.1
    """Most `#` and `…` per word."""
    max_bullet_lines_ratio: float | None = 0.9
    """Largest share of lines that begin with a bullet."""
    max_ellipsis_lines_ratio: float | None = 0.3
    """Largest share of lines that end in an ellipsis."""
    max_non_alpha_words_ratio: float | None = 0.8
    """Smallest share of words with a letter in them (the name is datatrove's)."""
    min_stop_words: int | None = 2
    """Fewest different stop words."""
    stop_words: tuple[str, ...] | None = None
    """Stop words; null for Gopher's eight English ones."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class GopherQuality(FilterStep):
    """datatrove's GopherQualityFilter."""

    options = GopherQualitySpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> GopherQualityFilter:
        """The filter."""
        from datatrove.pipeline.filters import GopherQualityFilter

        return GopherQualityFilter(**parameters)
