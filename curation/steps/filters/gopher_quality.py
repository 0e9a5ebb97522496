"""The step `gopher_quality`: datatrove's quality rules of Gopher (Rae et al. 2021, arXiv 2112.11446)."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.filters import GopherQualityFilter

from curation.steps.filters.base_filter import FilterStep
from curation.steps.filters.filter_options import GopherQualitySpec


class GopherQuality(FilterStep):
    """datatrove's GopherQualityFilter."""

    options = GopherQualitySpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> GopherQualityFilter:
        """The filter."""
        return GopherQualityFilter(**parameters)
