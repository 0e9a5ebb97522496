"""Texts of 1 MB that make a careless expression go back and forth."""

from __future__ import annotations

import random

PROFANITY = {"name": "profanity"}
SIZE = 1_000_000
_BASE64 = "".join(random.Random(0).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=SIZE))
SHAPES = {
    "dots": "." * SIZE, "spaces": "a" + " " * SIZE, "signs": "@" * SIZE, "digits": "1" * SIZE, "quotes": '"' * SIZE,
    "apostrophes": "a" + "'" * SIZE, "brackets": "[" * SIZE, "data": f"<img src=data:image/png;base64,{_BASE64}",
    "tags": "<b>" * (SIZE // 3), "open tags": "<" * SIZE, "word": "a" * SIZE, "references": "&#" * (SIZE // 2),
    "addresses": "1." * (SIZE // 2), "mails": "a.b@c." * (SIZE // 6),
    "reference": "&#" + "1" * (SIZE - 3) + ";",
}  # fmt: skip
