"""The step `fineweb_quality`: datatrove's rules of FineWeb (Penedo et al. 2024, arXiv 2406.17557)."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.filters import FineWebQualityFilter

from curation.steps.filters.base_filter import FilterStep
from curation.steps.filters.filter_options import FinewebQualitySpec


class FinewebQuality(FilterStep):
    """datatrove's FineWebQualityFilter."""

    options = FinewebQualitySpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> FineWebQualityFilter:
        """The filter."""
        return FineWebQualityFilter(**parameters)
