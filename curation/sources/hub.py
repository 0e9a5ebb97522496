"""Hugging Face data sets: what identifies one, and the reader. A path that exists on disk is a data set in a folder."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from curation.sources.spec import SourceSpec
from infra.artifacts.fingerprint import digest
from infra.artifacts.inputs import input_digests
from infra.errors import InputError, UnavailableError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SECONDS = 10.0  # to wait for the hub before saying that it cannot be reached


def dataset_name(source: SourceSpec) -> str:
    """`org/dataset`, or the folder."""
    return source.path.removeprefix("hf:")


def commit_of(source: SourceSpec) -> str:
    """The commit that `revision` means now (asked of the hub unless it is one), or a digest of a local folder's files.

    Raises UnavailableError when the hub cannot be reached, InputError when it has no such data set.
    """
    folder = Path(dataset_name(source))
    if folder.is_dir():
        files = _files(folder)
        digests = zip(files, input_digests(files), strict=True)
        return digest([[file.relative_to(folder).as_posix(), sha256] for file, sha256 in digests])
    if _COMMIT.fullmatch(source.revision):
        return source.revision
    return _commit(str(folder), source.revision)


@cache
def _commit(name: str, revision: str) -> str:
    """CommandLineSections once for a command, however often the branch moves while it works."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return str(HfApi().dataset_info(name, revision=revision, timeout=_SECONDS).sha)
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise InputError(f"hf:{name}: {_first_line(error)}") from None
    except Exception as error:  # whatever the HTTP library of the day raises
        raise UnavailableError(
            f"hf:{name}: the Hugging Face hub cannot be reached ({_first_line(error)}); "
            "download the data set and give its folder as hf:FOLDER, or its files as a path"
        ) from None


def pinned(source: SourceSpec) -> SourceSpec:
    """A source whose revision is the commit that `commit_of` fingerprints; a folder has none."""
    if not Path(dataset_name(source)).is_dir():
        with contextlib.suppress(UnavailableError):  # a plan needs no hub; who has a fingerprint has asked it
            return source.model_copy(update={"revision": commit_of(source)})
    return source


def files_of_folder(source: SourceSpec) -> list[str]:
    """The files of a data set that is a folder, sorted; none of one of the hub."""
    folder = Path(dataset_name(source))
    return list(map(str, _files(folder))) if folder.is_dir() else []


def rows(source: SourceSpec) -> Iterator[dict[str, Any]]:
    """The data set's rows, in order, through datatrove's reader. Raises UnavailableError when it cannot be loaded."""
    from datatrove.pipeline.readers import HuggingFaceDatasetReader

    # the row travels whole, as metadata: a row without text, which the reader would drop, must come out to be counted
    def adapter(self: Any, row: dict[str, Any], path: str, number: int | str) -> dict[str, Any]:
        return {"text": "row", "id": str(number), "metadata": {"row": row}}

    folder = Path(dataset_name(source)).is_dir()
    options = {"split": source.split, **({"name": source.config} if source.config else {}),
               **({} if folder else {"revision": source.revision})}  # fmt: skip
    reader = HuggingFaceDatasetReader(dataset_name(source), options, streaming=True, adapter=adapter)
    try:
        yield from (document.metadata["row"] for document in reader.run())
    except ValueError as error:  # an unknown split, or files of no known format
        raise InputError(f"{source.path}: {_first_line(error)}") from None
    except (OSError, ImportError) as error:
        raise UnavailableError(f"{source.path}: the data set cannot be loaded: {_first_line(error)}") from None


def _files(folder: Path) -> list[Path]:
    """Without what lies in hidden folders, which `datasets` does not read. Raises InputError for a link that leads
    nowhere.
    """
    paths = [path for path in folder.rglob("*")
             if not any(name.startswith(".") for name in path.relative_to(folder).parts)]  # fmt: skip
    if broken := [path for path in paths if not path.exists()]:
        raise InputError(f"{min(broken)}: the link leads nowhere")
    return sorted(path for path in paths if path.is_file())


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
