"""Versions of files: what changes when a file does, so that what is read is what was fingerprinted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from curation.sources.hub import files_of_folder
from curation.sources.spec import SourceSpec
from infra.errors import DataError
from infra.files.remote import located

Version = tuple[int | str, ...]
"""Empty where nobody knows."""

_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "generation", "LastModified", "last_modified", "updated", "mtime",
         "created")  # fmt: skip


def local_version(status: os.stat_result) -> Version:
    """Size in bytes and times in ns, without the inode: on mounts of buckets it differs from node to node."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def remote_version(about: dict[str, Any], keys: Sequence[str] = _KEYS) -> Version:
    """The same of what a remote file system says of a file: the identity of its content, or else its time in seconds,
    with the name under which it says so, as a listing and a closer look do not always say the same.
    """
    key = next((key for key in keys if about.get(key)), None)
    if key is None:
        return ()
    value = about[key].timestamp() if isinstance(about[key], datetime) else about[key]
    plain = str(int(value)) if isinstance(value, float) else str(value).strip('"')
    return (key, plain, str(about["size"]))


def version_of(file: str, like: Version = ()) -> Version:
    """The version of a file now, by what `like` goes by. Raises OSError where it is gone."""
    if "://" not in file:
        return local_version(os.stat(file))
    filesystem, path = located(file)
    filesystem.invalidate_cache(path)  # fsspec answers from its last listing, in which the file is as it was
    return remote_version(filesystem.info(path), [str(like[0])] if like else _KEYS)


def versions_of_data_set(source: SourceSpec) -> tuple[Version, ...]:
    """Of every file of a folder; none of a data set of the hub, whose commit does not change."""
    return tuple(local_version(os.stat(file)) for file in files_of_folder(source))


def changed(name: str) -> DataError:
    """The error for a file that is not what it was when it was listed."""
    reason = "changed since the run began, whose fingerprint is that of what it was; run again when nobody writes to it"
    return DataError(f"{name}:1: {reason}")
