"""What the options of several steps have in common."""

from __future__ import annotations

from infra.config.spec import Spec


class StepSpec(Spec):
    """A step and its options; every step's file declares its own."""

    step: str
    corpora: tuple[str, ...] | None = None
    """Corpora that the step works on, the others pass it unchanged; all of them where it is left out."""

    @property
    def edits_text(self) -> bool:
        """Whether the step changes texts; such a step cannot come after one that scores or tags."""
        return False


class DedupSpec(StepSpec):
    """Of documents that are alike, the first one in the order of the corpus stays."""

    across_corpora: bool = False
    """Also remove what an earlier corpus has, in the order of `corpora:`; without it, every corpus is looked at on its
    own."""
