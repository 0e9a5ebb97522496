"""The packages of the extra `eval`, which are asked for their versions without being imported."""

from __future__ import annotations

import importlib.metadata
import importlib.util

from infra.errors import UnavailableError


def version_of_extra(package: str, what: str) -> str:
    """Version of a package of the extra `eval`, without importing it. Raises UnavailableError naming the extra."""
    if importlib.util.find_spec(package) is None:
        raise UnavailableError(f"{what}; install it with `pip install 'hormesis[eval]'`")
    return importlib.metadata.version(package)
