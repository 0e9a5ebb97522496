"""Buckets and web servers, through fsspec; its packages for them are extras of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infra.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}


def located(location: str) -> tuple[AbstractFileSystem, str]:
    """File system and path of a folder, file or URL.

    Raises InputError for an unknown protocol or an impossible path, UnavailableError naming the extra that is missing.
    """
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(location)
    except ImportError as error:
        protocol = location.partition("://")[0]
        extra = _EXTRAS.get(protocol)
        needed = f"pip install 'hormesis[{extra}]'" if extra else str(error)
        raise UnavailableError(f"{location}: {protocol}:// needs a package that is not installed: {needed}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{location}: {error}") from None
    return filesystem, path
