"""The step `pii`: datatrove's formatter that replaces e-mail and IP addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from curation.steps.base import Context, Step, StepSpec

if TYPE_CHECKING:
    from datatrove.data import Document

EDITED = "pii_replaced"


class PiiSpec(StepSpec):
    """Changes the text: e-mail and IP addresses are replaced. Documents that were changed carry `pii_replaced: true` in
    their metadata. Stands before the steps that score or tag.
    """

    step: Literal["pii"] = "pii"
    remove_emails: bool = True
    """Replace e-mail addresses."""
    remove_ips: bool = True
    """Replace IP addresses."""
    only_remove_public_ips: bool = True
    """Leave private ones (192.168.…) as they are."""
    email_replacement: tuple[str, ...] = ("email@example.com", "firstname.lastname@example.org")
    """Used in turn."""
    ip_replacement: tuple[str, ...] = (
        "22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168",
    )  # fmt: skip
    """Used in turn; datatrove's choice, which answered nobody."""


class Pii(Step):
    """datatrove's PIIFormatter."""

    options = PiiSpec

    @property
    def edits_text(self) -> bool:
        """That is what it is for."""
        return True

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Replace what is found; the replacements take turns anew in every shard."""
        from datatrove.pipeline.formatters import PIIFormatter

        formatter = PIIFormatter(**self.spec.model_dump(exclude={"step", "corpora"}))
        for document in documents:
            text = formatter.format(document.text)
            document.metadata[EDITED] = text != document.text
            document.text = text
            yield document
