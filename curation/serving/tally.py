"""What a server tells of its work: one line a minute, with counts and times, and never a text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from curation.serving.batches import Batches


@dataclass
class Tally:
    """Requests since the last line."""

    batches: Batches
    seconds: list[float] = field(default_factory=list)
    """From the request's head to the answer, of those that got scores."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    _before: tuple[int, int] = (0, 0)

    def line(self) -> str:
        """What has happened since the last line; '' where nothing has. Begins anew."""
        batches, texts = self.batches.count - self._before[0], self.batches.texts - self._before[1]
        parts = [f"{len(self.seconds):,} answered"]
        if self.seconds:
            middle, late = np.percentile(self.seconds, (50, 99)) * 1000
            parts += [f"median {middle:.1f} ms", f"99 % within {late:.1f} ms"]
        if batches:
            parts.append(f"{texts / batches:.1f} texts a batch")
        if self.refused:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.refused.items()))
            parts.append(f"{self.refused.total():,} refused ({reasons})")
        is_quiet = not self.seconds and not self.refused
        self.seconds, self.refused, self._before = [], Counter(), (self.batches.count, self.batches.texts)
        return "" if is_quiet else "; ".join(parts)
