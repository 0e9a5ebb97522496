"""The step `regex`: datatrove's filter on a regular expression."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from curation.steps.base import StepSpec
from curation.steps.base_filter import FilterStep

if TYPE_CHECKING:
    from datatrove.pipeline.filters import RegexFilter


class RegexSpec(StepSpec):
    """Removes documents in which an expression is found."""

    step: Literal["regex"] = "regex"
    regex_exp: str
    """Python regular expression; `(?i)` in front of it ignores case."""

    @field_validator("regex_exp")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value


class Regex(FilterStep):
    """datatrove's RegexFilter."""

    options = RegexSpec

    def filter(self, **parameters: Any) -> RegexFilter:
        """The filter."""
        from datatrove.pipeline.filters import RegexFilter

        return RegexFilter(**parameters)
