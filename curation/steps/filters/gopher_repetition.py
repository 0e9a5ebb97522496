"""The step `gopher_repetition`: datatrove's repetition rules of Gopher (Rae et al. 2021, arXiv 2112.11446)."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.filters import GopherRepetitionFilter

from curation.steps.filters.base_filter import FilterStep
from curation.steps.filters.filter_options import GopherRepetitionSpec


class GopherRepetition(FilterStep):
    """datatrove's GopherRepetitionFilter."""

    options = GopherRepetitionSpec
    version = 2  # long runs of marks are cut before words are told apart

    def filter(self, **parameters: Any) -> GopherRepetitionFilter:
        """The filter."""
        return GopherRepetitionFilter(**parameters)
