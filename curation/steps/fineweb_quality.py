"""The step `fineweb_quality`: datatrove's rules of FineWeb (Penedo et al. 2024, arXiv 2406.17557)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from curation.steps.base import StepSpec
from curation.steps.base_filter import FilterStep

if TYPE_CHECKING:
    from datatrove.pipeline.filters import FineWebQualityFilter


class FinewebQualitySpec(StepSpec):
    """Removes documents that are lists, menus or boilerplate."""

    step: Literal["fineweb_quality"] = "fineweb_quality"
    line_punct_thr: float = 0.12
    """Smallest share of lines that end in a mark."""
    line_punct_exclude_zero: bool = False
    """Let documents pass in which no line at all ends in a mark."""
    stop_chars: tuple[str, ...] | None = None
    """Marks that end a line; null for datatrove's list."""
    short_line_thr: float = 0.67
    """Largest share of short lines."""
    short_line_length: int = 30
    """Characters up to which a line is short."""
    char_duplicates_ratio: float = 0.01
    """Largest share of characters in lines that stood before."""
    new_line_ratio: float = 0.3
    """Most line ends per word."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class FinewebQuality(FilterStep):
    """datatrove's FineWebQualityFilter."""

    options = FinewebQualitySpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> FineWebQualityFilter:
        """The filter."""
        from datatrove.pipeline.filters import FineWebQualityFilter

        return FineWebQualityFilter(**parameters)
