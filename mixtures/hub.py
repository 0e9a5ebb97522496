"""Which commit of the hub a tokenizer is: a branch moves, and a mixture would be another under its fingerprint."""

from __future__ import annotations

import re
from functools import cache

from mixtures.spec.mixture import TokenizerSpec

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS = 10.0  # to wait for the hub before its cache is asked


def revision_of(source: TokenizerSpec) -> str | None:
    """The commit that the revision means now, as the hub says, or else its cache; the revision itself where neither
    can tell, as a plan needs no hub. None for a tokenizer that is not of the hub.
    """
    if source.hub is None:
        return None
    revision = source.revision or "main"
    return revision if _COMMIT.fullmatch(revision) else _commit(source.hub, revision) or source.revision


def pinned(source: TokenizerSpec) -> TokenizerSpec:
    """A tokenizer whose revision is its commit, as its fingerprint sees it."""
    return source if source.hub is None else source.model_copy(update={"revision": revision_of(source)})


@cache
def _commit(name: str, revision: str) -> str | None:
    """Asked once for a command, however often the branch moves while it works."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        return str(HfApi().model_info(name, revision=revision, timeout=_SECONDS).sha)
    except Exception:  # whatever the HTTP library of the day raises
        file = try_to_load_from_cache(name, "tokenizer.json", revision=revision)
    return file.split("/")[-2] if isinstance(file, str) else None
