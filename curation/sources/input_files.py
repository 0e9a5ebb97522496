"""Input files: the units in which sources are read (a file, a data set, a run of threads), one output shard each."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache, partial
from glob import has_magic
from typing import IO, TYPE_CHECKING, NamedTuple

from curation.formats.dolma_spec import attribute_files
from curation.sources.hub import commit_of, pinned
from curation.sources.listing import ListedFile, Listing, files_matching
from curation.sources.spec import AnySource, ForumSpec, SourceSpec
from curation.sources.versions import Version, changed, local_version, version_of, versions_of_data_set
from curation.sources.wheels import parse_wheel, wheel_file
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digests, location_digest
from infra.errors import InputError
from infra.files.remote import located

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_LINES = (".jsonl", ".json", ".ndjson", ".txt")
SUFFIXES = (*(f"{suffix}{packed}" for suffix in _LINES for packed in ("", ".gz", ".zst")), ".parquet")
_SUFFIX = re.compile("(?:" + "|".join(map(re.escape, SUFFIXES)) + ")$")
THREADS_TOGETHER = 500
_SMALL = 1 << 13  # bytes of a file that is read in one go


class InputFile(NamedTuple):
    """One input file of a source, or what is read like one: a run of its rows, a data set of the hub, a run of threads.

    `label` names it without the machine's folders; `first` and `count` are threads of a forum or rows of a Parquet file
    (all of them where `count` is 0); `size` is the file's stored bytes, None where there is no file or nobody says.
    `versions` are those of the file and of the attribute files beside it, when they were listed: before they were
    fingerprinted. (A tuple, as there may be a million of them, to be sent to workers.)
    """

    source: AnySource
    number: int
    label: str
    location: str = ""
    archive: str | None = None
    first: int = 0
    count: int = 0  # type: ignore[assignment]  # a name that tuples have too
    size: int | None = None
    versions: tuple[Version, ...] = ()


def input_files_of(source: AnySource, number: int) -> list[InputFile]:
    """All input files of a source, the `number`-th of its corpus, in order. Raises InputError where nothing matches."""
    if isinstance(source, ForumSpec):
        starts = range(0, source.documents, THREADS_TOGETHER)
        return [
            InputFile(source, number, source.path, first=first, count=min(THREADS_TOGETHER, source.documents - first))
            for first in starts
        ]
    if source.path.startswith("hf:"):
        return [InputFile(pinned(source), number, _hub_label(source), versions=versions_of_data_set(source))]
    if source.path.startswith("wheel:"):
        return _inside_wheel(source, number)
    return _fingerprinted.pop((source, number), None) or _files(source, number)


_fingerprinted: dict[tuple[SourceSpec, int], list[InputFile]] = {}
_beside: dict[str, str] = {}


def beside(source: AnySource) -> str:
    """What the last listing of a source left out though it matches; '' where there is nothing."""
    return _beside.get(source.path, "")


def files_of(source: AnySource, number: int) -> list[InputFile]:
    """The input files of a source that can be listed, for a fingerprint; none of a data set, a wheel or threads.

    Always listed anew. The next `input_files_of` takes this listing: what is read is what has been fingerprinted.
    """
    if isinstance(source, ForumSpec) or source.path.startswith(("hf:", "wheel:")):
        return []
    _fingerprinted[source, number] = files = _files(source, number)
    return files


def content_of(source: AnySource, files: list[InputFile] | None = None) -> list[object]:
    """What identifies a source's content, for a fingerprint: checksums, never paths or times; `files` spares listing
    them anew.
    """
    if isinstance(source, ForumSpec):
        sentences = [content_of(texts) for texts in source.sentences]
        return ["forum", source.seed, source.documents, source.benign, sentences]
    settings = source.model_dump(mode="json", exclude={"path", "sha256", "revision"})
    if source.path.startswith("hf:"):
        return ["hf", _hub_label(source), commit_of(source), settings]
    if source.path.startswith("wheel:"):
        if source.sha256 is None:
            wheel_file(source.path, None)  # raises, and says which checksum it has
        return ["wheel", source.path, source.sha256, settings]
    listed = files is not None  # then its files are compared when they have been read, each by its worker
    return ["files", _contents(source, _files(source, 0) if files is None else files, not listed), settings]


def _contents(source: SourceSpec, input_files: list[InputFile], watch: bool) -> list[list[str]]:
    """Of every input file its label, its digest and those of the attribute files beside it."""
    beside = _attribute_digests(source, input_files, watch) if source.attributes else [[]] * len(input_files)
    locations = [input_file.location for input_file in input_files]
    if any("://" in location for location in locations):  # all of a source are of one file system
        checksums = [_remote_digest(location, watch) for location in locations]
    else:
        sizes = [input_file.size or 0 for input_file in input_files]
        is_known = all(input_file.size is not None for input_file in input_files)
        checksums = input_digests(locations, sizes=sizes if is_known else None, watch=watch)
    labels = [input_file.label for input_file in input_files]
    return [[label, checksum, *more] for label, checksum, more in zip(labels, checksums, beside, strict=True)]


def _attribute_digests(source: SourceSpec, input_files: list[InputFile], watch: bool) -> list[list[str]]:
    """Of every input file the digests of the attribute files beside it. Raises InputError where one is not there."""
    files = [list(attribute_files(input_file.location, source.attributes).values()) for input_file in input_files]
    local = [file for group in files for file in group if "://" not in file]
    if missing := [file for file in local if not os.path.isfile(file)]:
        raise InputError(f"{missing[0]}: no such attribute file beside its documents")
    known = dict(zip(local, input_digests(local, watch=watch), strict=True))
    return [[known.get(file) or _remote_digest(file, watch) for file in group] for group in files]


def _remote_digest(url: str, watch: bool) -> str:
    try:
        return location_digest(url, watch=watch)
    except FileNotFoundError:
        raise InputError(f"{url}: no such file") from None


def opened(input_file: InputFile) -> IO[bytes]:
    """An input file, to be read as it is stored. Raises OSError."""
    if input_file.archive:
        return _opened_archive(input_file.archive).open(input_file.location, "rb")
    if "://" not in input_file.location:
        return open(input_file.location, "rb")
    filesystem, path = located(input_file.location)
    return filesystem.open(path, "rb")


def is_read_at_once(input_file: InputFile) -> bool:
    """Whether this is a small file of this machine with nothing beside it: for those `read_at_once` is quicker."""
    is_small = input_file.size is not None and input_file.size <= _SMALL
    is_local = input_file.archive is None and "://" not in input_file.location
    return is_small and len(input_file.versions) == 1 and is_local


def read_at_once(input_file: InputFile) -> bytes:
    """All of a small file that has not changed since it was listed, with half the system calls of opening, reading and
    comparing it: there may be a million of them. Raises OSError, or DataError where it has changed.
    """
    descriptor = os.open(input_file.location, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, _SMALL + 1)
        while len(content) < (input_file.size or 0) and (more := os.read(descriptor, _SMALL)):
            content += more  # of a file system that gives less than is asked for
        if local_version(os.fstat(descriptor)) != input_file.versions[0]:
            raise changed(input_file.label)
        return content
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4)
def _opened_archive(file: str) -> AbstractFileSystem:
    """fsspec closes a zip file as soon as nobody holds its file system (`ZipFileSystem.__del__`), with streams out of
    it still open.
    """
    import fsspec

    return fsspec.filesystem("zip", fo=file)


def _hub_label(source: SourceSpec) -> str:
    """`hf:org/dataset`, or of a folder only its name."""
    return f"hf:{posixpath.basename(source.path)}" if source.path.startswith("hf:/") else source.path


def _inside_wheel(source: SourceSpec, number: int) -> list[InputFile]:
    import fsspec

    wheel = parse_wheel(source.path)
    archive = str(wheel_file(source.path, source.sha256))
    try:
        filesystem = fsspec.filesystem("zip", fo=archive)
    except Exception as error:
        raise InputError(f"{source.path}: {archive} is no readable wheel: {error}") from None
    files = _known(source, wheel.inner, files_matching(filesystem, wheel.inner))
    return [InputFile(source, number, f"wheel:{wheel.requirement}/{file.path}", file.path, archive, size=file.size)
            for file in files]  # fmt: skip


def _files(source: SourceSpec, number: int) -> list[InputFile]:
    filesystem, path = located(source.path)
    try:
        files = _known(source, path, files_matching(filesystem, path))
    except InputError:
        raise
    except Exception as error:  # whatever the client of a bucket raises: no credentials, no such bucket, no network
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{source.path}: cannot be listed: {reason}") from None
    fixed = _fixed_folder(path)
    local = "file" in filesystem.protocol
    input_files = [
        InputFile(source, number, _below(fixed, file), file if local else filesystem.unstrip_protocol(file), size=size,
             versions=(version,))
        for file, size, version in files
    ]  # fmt: skip
    return list(map(_with_attributes, input_files)) if source.attributes else input_files


def _with_attributes(input_file: InputFile) -> InputFile:
    """An input file that knows the versions of its attribute files too. Raises InputError where one is not there."""
    assert isinstance(input_file.source, SourceSpec)
    beside = attribute_files(input_file.location, input_file.source.attributes).values()
    try:
        return input_file._replace(versions=(*input_file.versions, *map(version_of, beside)))
    except OSError as error:
        missing = next(file for file in beside if file == error.filename or "://" in file)
        raise InputError(f"{missing}: no such attribute file beside its documents") from None


def _below(folder: str, file: str) -> str:
    """`file` as seen from `folder`, which is almost always its beginning; `relpath` asks for the current folder."""
    if not folder:
        return file
    return file[len(folder) + 1 :] if file.startswith(f"{folder}/") else posixpath.relpath(file, folder)


def _known(source: SourceSpec, pattern: str, listing: Listing) -> list[ListedFile]:
    """Refuse an empty match, files of no known format, and folders that are called like files."""
    names, besides = [file.path for file in listing.files], listing.left_out(partial(_below, _fixed_folder(pattern)))
    if folders := [folder for folder in listing.folders if folder.endswith(SUFFIXES) or folder == pattern]:
        raise InputError(f"{folders[0]}: a folder; name the files in it, as in {folders[0]}/*.jsonl")
    if not names:
        what = "no file matches" if has_magic(source.path) else "no such file"
        raise InputError(f"{source.path}: {what}" + (f"; left out: {besides}" if besides else ""))
    if odd := [file for file in names if not _is_unicode(file)]:
        raise InputError(f"{odd[0]}: bytes that are no UTF-8 in a file's name, which goes into every id; rename it")
    if unknown := [file for file in names if not file.endswith(SUFFIXES)]:
        more = f" (and {len(unknown) - 1} more files)" if len(unknown) > 1 else ""
        raise InputError(f"{unknown[0]}: unknown format{more}; the suffix must be one of {', '.join(SUFFIXES)}")
    _beside[source.path] = besides
    return listing.files


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fixed_folder(pattern: str) -> str:
    """The folder above the first wildcard: labels are relative to it, so that they do not depend on the machine."""
    steps = pattern.split("/")
    fixed = next((index for index, step in enumerate(steps) if has_magic(step)), len(steps) - 1)
    return "/".join(steps[:fixed]) or ("/" if pattern.startswith("/") else "")


def pattern_of(label: str) -> str:
    """The files of an input file's folder and format: `news/*.txt` for `news/1.txt`."""
    folder, slash, _ = label.rpartition("/")
    suffix = _SUFFIX.search(label)
    return f"{folder}{slash}*{suffix[0] if suffix else ''}"


def fingerprint_of_sources(sources: tuple[AnySource, ...]) -> str:
    """One digest over the contents of several sources."""
    return digest([content_of(source) for source in sources])


def stored_bytes(input_files: Iterable[InputFile]) -> int | None:
    """Stored bytes of all input files, as far as they are known; None where none is."""
    return sum(input_file.size or 0 for input_file in input_files) or None
