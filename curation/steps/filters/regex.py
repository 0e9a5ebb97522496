"""The step `regex`: datatrove's filter on a regular expression."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.filters import RegexFilter

from curation.steps.filters.base_filter import FilterStep
from curation.steps.filters.filter_options import RegexSpec


class Regex(FilterStep):
    """datatrove's RegexFilter."""

    options = RegexSpec

    def filter(self, **parameters: Any) -> RegexFilter:
        """The filter."""
        return RegexFilter(**parameters)
