"""Fingerprints: one canonical encoding, and hashes of contents (never of paths or times)."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TypeAlias

from infra.files.digests import digest_of
from infra.files.remote import located

_IDENTITIES = ("ETag", "md5Hash", "content_md5")  # as fsspec's S3, Google and Azure file systems call them

_PLAIN: set[type] = {bool, int, str, type(None)}  # of these every value may enter

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def canonical(value: object) -> bytes:
    """Encode a JSON-able value so that equal values give equal bytes.

    What may enter: None, bool, int, finite float, str, list, tuple and dict with string keys. A float that holds a
    whole number stays a float (1.0 and 1 differ). Everything else (paths, sets, objects, NaN) has no canonical form
    here and raises TypeError, as a fingerprint made from `str(value)` would change with time or machine.
    """
    return json.dumps(_checked(value, "value"), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _checked(value: object, where: str) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}: only finite numbers can be fingerprinted")
        return value
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) <= _PLAIN:  # one look at a list of a million names and checksums
            return value
        return [_checked(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        if bad := [key for key in value if not isinstance(key, str)]:
            raise TypeError(f"{where} has the key {bad[0]!r}: only string keys can be fingerprinted")
        return {key: _checked(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} is a {type(value).__name__}: it has no canonical form")


def digest(value: object) -> str:
    """SHA-256 (hex) of the canonical encoding."""
    return hashlib.sha256(canonical(value)).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's content, read now: of what was just written. Inputs are for `infra.files.digests`."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_location(url: str, refresh: bool = False) -> str:
    """Content digest of a local file; of a remote one, the identity of its content that its store offers (S3's ETag,
    the MD5 of Google's and Azure's), and where there is none, the digest of its bytes. Never its name or time.
    What a listing has told of a remote file is believed, unless it is asked for `again`. Raises InputError for a local
    file that cannot be read, and what `located` raises.
    """
    if "://" not in url:
        return digest_of(url)
    filesystem, path = located(url)
    if refresh:
        filesystem.invalidate_cache(path)
    info = filesystem.info(path)
    for key in _IDENTITIES:
        if info.get(key):
            return digest(["remote", str(info[key]).strip('"'), info["size"]])
    with filesystem.open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
