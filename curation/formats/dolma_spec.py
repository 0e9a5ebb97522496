"""The YAML of a source's Dolma attributes, and where their files are."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import model_validator

from infra.config.spec import Spec
from infra.errors import InputError

_DOCUMENTS = "/documents/"


class DolmaAttributeSpec(Spec):
    """One attribute of Dolma attribute files: `attributes/FOLDER/PART`, line by line beside `documents/PART`."""

    folder: str
    """Folder below `attributes/` (Dolma's experiment)."""
    key: str
    """Key in the file's `attributes`, for example `jigsaw__ft__toxic`."""
    score: str | None = None
    """Give each document the highest score that stands under the key, under this name."""
    spans: str | None = None
    """Give each document the spans that stand under the key, under this name."""

    @model_validator(mode="after")
    def _of_use(self) -> DolmaAttributeSpec:
        if self.score is None and self.spans is None:
            raise ValueError("say what to do with it: score: NAME, spans: NAME, or both")
        return self


def attribute_file(location: str, folder: str) -> str:
    """Path or URL of the attribute file of a document file. Raises InputError where that is not below `documents/`."""
    root, documents, name = location.rpartition(_DOCUMENTS)
    if not documents:
        raise InputError(f"{location}: Dolma attributes are found only of files below a folder named documents")
    return f"{root}/attributes/{folder}/{name}"


def attribute_files(location: str, specs: Iterable[DolmaAttributeSpec]) -> dict[str, str]:
    """The attribute files of a document file by folder, in the order of the specification."""
    return {spec.folder: attribute_file(location, spec.folder) for spec in specs}
