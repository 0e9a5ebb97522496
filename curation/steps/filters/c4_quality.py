"""The step `c4_quality`: datatrove's rules of C4 (Raffel et al. 2020, arXiv 1910.10683)."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.filters import C4QualityFilter

from curation.steps.filters.base_filter import FilterStep
from curation.steps.filters.filter_options import C4QualitySpec


class C4Quality(FilterStep):
    """datatrove's C4QualityFilter."""

    options = C4QualitySpec
    version = 2  # long runs of marks are cut before words are told apart
    spec: C4QualitySpec

    def filter(self, **parameters: Any) -> C4QualityFilter:
        """The filter."""
        return C4QualityFilter(**{key: value for key, value in parameters.items() if key != "edit_text"})
