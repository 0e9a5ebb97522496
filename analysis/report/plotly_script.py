"""Plotly's library inside the page, compressed: 2 MB where it is 4.8.

plotly.py carries the whole bundle only: the partial ones come from npm, which a Python package cannot ask for. Every
browser since 2023 inflates this one itself (`DecompressionStream`), with or without a network.
"""

from __future__ import annotations

import base64
import gzip
from functools import cache


@cache
def packed_plotly() -> str:
    """plotly.min.js as gzip in base64. The same version gives the same text."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode("ascii")
