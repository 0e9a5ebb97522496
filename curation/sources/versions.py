"""Versions of files: what changes when a file does, so that what is read is what was fingerprinted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from curation.formats.dolma_spec import attribute_files
from curation.sources.hub import files_of_folder
from curation.sources.spec import SourceSpec
from infra.errors import DataError
from infra.files.remote import located

if TYPE_CHECKING:
    from curation.sources.parts import SourcePart

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


def check_unchanged(input_file: SourcePart) -> None:
    """Raise DataError where a file is not what it was when it was listed, OSError where it is gone."""
    versions = input_file.versions
    if not versions or (len(versions) == 1 and _is_same(input_file.location, versions[0])):
        return  # nearly always, and at once
    for file, version in zip_longest(_files(input_file), versions):
        if file is None or version is None or (version and version_of(file, version) not in (version, ())):
            name = file if file and file != input_file.location else input_file.label
            raise changed(name)


def changed(name: str) -> DataError:
    """The error for a file that is not what it was when it was listed."""
    reason = "changed since the run began, whose fingerprint is that of what it was; run again when nobody writes to it"
    return DataError(f"{name}:1: {reason}")


def _is_same(file: str, version: Version) -> bool:
    return file != "" and "://" not in file and local_version(os.stat(file)) == version


def _files(input_file: SourcePart) -> list[str]:
    """The files that are read for an input file, in the order of its versions."""
    assert isinstance(input_file.source, SourceSpec)
    if input_file.source.path.startswith("hf:"):
        return files_of_folder(input_file.source)
    return [input_file.location, *attribute_files(input_file.location, input_file.source.attributes).values()]
