"""The step `pii`: datatrove's formatter that replaces e-mail and IP addresses."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from datatrove.pipeline.formatters import PIIFormatter

from curation.steps.base import Context, Step
from curation.steps.filters.filter_options import PiiSpec

if TYPE_CHECKING:
    from datatrove.data import Document

EDITED = "pii_replaced"
_LOCAL = string.ascii_letters + string.digits + "!#$%&'*+/=?^_`{|}~-"
"""What datatrove takes in front of an `@`, beside dots."""
_BEGIN = re.compile(rf"\b[{re.escape(_LOCAL)}]")


class _Addresses:
    """Stands in for datatrove's pattern of e-mail addresses: the same matches, in time linear in the text.

    The pattern alone reads on to the next `@` from every word of a text, which is the square of the length where there
    is none for long (a `data:` URL). An address has one `@`, so only the characters in front of an `@` are tried.
    """

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def sub(self, replacement: Callable[[re.Match[str]], str], text: str) -> str:
        """As that of a pattern."""
        pieces, done = [], 0
        for match in self._matches(text):
            pieces += [text[done : match.start()], replacement(match)]
            done = match.end()
        return "".join([*pieces, text[done:]])

    def _matches(self, text: str) -> Iterator[re.Match[str]]:
        after = 0  # the last address, or the last `@` that has none
        while (sign := text.find("@", after)) >= 0:
            match = None
            if sign > after and (first := self._first(text, after, sign)) is not None:
                match = self._pattern.match(text, first)
            if match:
                yield match
            after = match.end() if match else sign + 1

    def _first(self, text: str, after: int, sign: int) -> int | None:
        """Where the longest local part that ends at `sign` begins; it has no two dots in a row."""
        start = after + len(text[after:sign].rstrip(_LOCAL + "."))
        dots = text.rfind("..", start, sign)
        start = dots + 2 if dots >= 0 else start
        begin = _BEGIN.search(text, start, sign)
        return begin.start() if begin else None


class Pii(Step):
    """datatrove's PIIFormatter."""

    options = PiiSpec

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Replace what is found; the replacements take turns anew in every shard."""
        formatter = PIIFormatter(**self.spec.model_dump(exclude={"step", "corpora"}))
        formatter.emails_replacer.regex = _Addresses(formatter.emails_replacer.regex)
        for document in documents:
            text = formatter.format(document.text)
            document.metadata[EDITED] = text != document.text
            document.text = text
            yield document
