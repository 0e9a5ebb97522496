"""Names of the files of a built mixture, beside the token files of its components."""

from __future__ import annotations

MANIFEST = "mixture.json"
DOCUMENTS = "documents.parquet"
"""A row a training document: where it came from, and where its tokens are."""
HELD_OUT = "held_out"
"""Folder of the held-out token files, and name of their split."""
HELD_OUT_TEXTS = f"{HELD_OUT}.parquet"
"""A row a held-out document, with its text, scores and spans."""
BLEND = "blend.json"
"""Megatron's blend: prefixes and weights."""
PROVENANCE = "provenance.json"
"""What the text came from."""
