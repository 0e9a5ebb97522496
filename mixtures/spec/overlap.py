"""What a mixture's YAML may say about overlap."""

from __future__ import annotations

from typing import Annotated

from curation.steps.options import NearDuplicatesSpec
from infra.config.identity import NotIdentity
from infra.config.spec import Location, Spec


class OverlapSpec(NearDuplicatesSpec):
    """Overlap is measured: equal texts, and nearly equal ones by MinHash. Nothing is removed."""


class DuplicatesSpec(Spec):
    """Corpora whose documents are compared with each other: done once, shared by every dose."""

    curation: Annotated[Location, NotIdentity]
    """Curation artifact."""
    corpora: tuple[str, ...]
    """Corpora in it."""
    near: NearDuplicatesSpec
    """What counts as nearly equal."""
