"""Which texts are held out: by their content, so that equal texts stay together and order does not matter."""

from __future__ import annotations

from infra.artifacts.fingerprint import digest


def is_held_out(text: str, share: float, seed: int) -> bool:
    """Whether `text` is among the `share` of texts that nothing is fitted to."""
    return int(digest([seed, text])[:13], 16) / 16**13 < share
