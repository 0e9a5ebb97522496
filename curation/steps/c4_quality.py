"""The step `c4_quality`: datatrove's rules of C4 (Raffel et al. 2020, arXiv 1910.10683)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from curation.steps.base import StepSpec
from curation.steps.base_filter import FilterStep

if TYPE_CHECKING:
    from datatrove.pipeline.filters import C4QualityFilter


class C4QualitySpec(StepSpec):
    """Removes documents of which C4's line rules leave too little; -1 turns a number off."""

    step: Literal["c4_quality"] = "c4_quality"
    edit_text: bool = False
    """As C4 did it: the lines that break a rule are cut out of the text. Without it the text stays as it is, and the
    rules only decide whether the document does."""
    split_paragraph: bool = True
    """Judge line by line; false: sentence by sentence."""
    remove_citations: bool = True
    """Leave citations such as [1] out (of the text only under `edit_text`)."""
    filter_no_terminal_punct: bool = True
    """A line must end in a mark."""
    min_num_sentences: int = 5
    """Fewest sentences that are left of a document."""
    min_words_per_line: int = 3
    """Fewest words of a line."""
    max_word_length: int = 1000
    """Longest word of a line."""
    filter_lorem_ipsum: bool = True
    """Remove documents with this phrase."""
    filter_javascript: bool = True
    """Leave out lines with this word."""
    filter_curly_bracket: bool = True
    """Remove documents with `{`."""
    filter_policy: bool = True
    """Leave out lines about cookies and terms of use."""
    language: str = "eng"
    """Whose sentence splitter is used; datatrove's code, such as eng, deu, fra."""


class C4Quality(FilterStep):
    """datatrove's C4QualityFilter."""

    options = C4QualitySpec
    version = 2  # long runs of marks are cut before words are told apart
    spec: C4QualitySpec

    @property
    def edits_text(self) -> bool:
        """Only where the YAML says so."""
        return self.spec.edit_text

    def filter(self, **parameters: Any) -> C4QualityFilter:
        """The filter."""
        from datatrove.pipeline.filters import C4QualityFilter

        return C4QualityFilter(**{key: value for key, value in parameters.items() if key != "edit_text"})
