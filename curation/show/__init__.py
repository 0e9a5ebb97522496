"""`hormesis show` of a curation: what went in, what was removed and why, how risky the rest is, and samples of it. Only
`curation.stage` imports it.
"""

from curation.show.page import page_of

__all__ = ["page_of"]
