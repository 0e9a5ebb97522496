"""What a mixture's YAML may say about overlap."""

from __future__ import annotations

from curation.steps.options import NearDuplicatesSpec
from infra.spec import Location, Spec


class OverlapSpec(NearDuplicatesSpec):
    """Overlap is measured: equal texts, and nearly equal ones by MinHash. Nothing is removed."""


class DuplicatesSpec(Spec):
    """Corpora whose documents are compared with each other: done once, shared by every dose."""

    curation: Location
    """Curation artifact."""
    corpora: tuple[str, ...]
    """Corpora in it."""
    near: NearDuplicatesSpec
    """What counts as nearly equal."""
