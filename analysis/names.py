"""Names that rooms agree on. Light to import."""

from __future__ import annotations

MATCHED = "mixture-matched-"
"""How the names of the mixtures of compute-matched controls begin: clean text, as many tokens as a dose has."""
