"""Whether the files of a source are still what they were when they were listed."""

from __future__ import annotations

import os
from itertools import zip_longest

from curation.formats.dolma_spec import attribute_files
from curation.sources.hub import files_of_folder
from curation.sources.input_files import InputFile
from curation.sources.spec import SourceSpec
from curation.sources.versions import Version, changed, local_version, version_of


def check_unchanged(input_file: InputFile) -> None:
    """Raise DataError where a file is not what it was when it was listed, OSError where it is gone."""
    versions = input_file.versions
    if not versions or (len(versions) == 1 and _is_same(input_file.location, versions[0])):
        return  # nearly always, and at once
    for file, version in zip_longest(_files(input_file), versions):
        if file is None or version is None or (version and version_of(file, version) not in (version, ())):
            name = file if file and file != input_file.location else input_file.label
            raise changed(name)


def _is_same(file: str, version: Version) -> bool:
    return file != "" and "://" not in file and local_version(os.stat(file)) == version


def _files(input_file: InputFile) -> list[str]:
    """The files that are read for an input file, in the order of its versions."""
    assert isinstance(input_file.source, SourceSpec)
    if input_file.source.path.startswith("hf:"):
        return files_of_folder(input_file.source)
    return [input_file.location, *attribute_files(input_file.location, input_file.source.attributes).values()]
