"""The YAML of `kind: curation`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from curation.sources.spec import MAX_BAD_SHARE, AnySource
from curation.steps.options import AnyStep
from infra.config.faults import nearest
from infra.config.identity import InOrder, NotIdentity
from infra.config.spec import FileName, Spec
from infra.jobs.spec import ExecutionSpec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


_JUDGE_TEXT = ("score", "tag", "cascade")


class CorpusSpec(Spec):
    """One tagged corpus."""

    sources: tuple[AnySource, ...] = Field(min_length=1)
    """Read in this order."""
    limit: int | None = Field(None, ge=1)
    """At most this many documents, the first ones that can be read."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Scores that the documents bring with them."""
        return _brought(self.sources[0], "score")

    @property
    def spans(self) -> tuple[str, ...]:
        """Attributes of the spans that the documents bring with them."""
        return _brought(self.sources[0], "spans")

    @model_validator(mode="after")
    def _same_attributes(self) -> CorpusSpec:
        """A score that only some documents have is none."""
        for what in ("score", "spans"):
            attribute_sets = {tuple(sorted(_brought(source, what))) for source in self.sources}
            if len(attribute_sets) > 1:
                named = " and ".join(", ".join(names) or "none" for names in sorted(attribute_sets))
                raise ValueError(f"all sources of a corpus must have the same attributes; here some give {named}")
        return self


def _brought(source: AnySource, what: str) -> tuple[str, ...]:
    return tuple(name for spec in getattr(source, "attributes", ()) if (name := getattr(spec, what)))


class CurationSpec(Spec):
    """Corpora in, one artifact of tagged corpora out."""

    name: FileName
    """Folder of the artifact below runs/."""
    corpora: Annotated[dict[str, CorpusSpec], InOrder] = Field(min_length=1)
    """Corpora by name."""
    steps: tuple[AnyStep, ...]
    """What is done with every document, in this order."""
    shard_documents: int = Field(20_000, ge=1)
    """Documents of a shard that is cut from a big file; a shard is what one worker does in one go, and a file of the
    tagged corpus."""
    damaged_files: Annotated[Literal["stop", "keep"], NotIdentity] = "stop"
    """What a file that breaks off or cannot be unpacked means: `stop` (the other files are done, then the job fails and
    names it), or `keep` (what can be read is kept, the place counts as the rows that it cost, else as one bad line)."""
    max_bad_share: Annotated[float, NotIdentity] = Field(MAX_BAD_SHARE, ge=0, le=1)
    """Share of unreadable lines in a corpus above which the job stops."""
    execution: Annotated[ExecutionSpec, NotIdentity] = ExecutionSpec()
    """What workers get on a cluster; no part of the fingerprint, since it changes no byte."""

    @field_validator("corpora")
    @classmethod
    def _plain_names(cls, value: dict[str, CorpusSpec]) -> dict[str, CorpusSpec]:
        for name in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f'corpus name "{name}": only letters, digits, "-" and "_"')
        return value

    @model_validator(mode="after")
    def _steps_fit(self) -> CurationSpec:
        """Every corpus that a step names is there, and no step changes a text that has been judged before."""
        for number, spec in enumerate(self.steps):
            for corpus in spec.corpora or ():
                if corpus not in self.corpora:
                    known = ", ".join(self.corpora)
                    raise ValueError(f'steps[{number}].corpora: no corpus "{corpus}"; there are: {known}'
                                     f"{nearest(corpus, self.corpora)}")  # fmt: skip
            if not spec.edits_text:
                continue
            earlier = next((step for step in self.steps[:number] if step.step in _JUDGE_TEXT), None)
            if earlier:
                raise ValueError(f"steps[{number}]: {spec.step} changes the text, so it must stand before the step "
                                 f"{earlier.step}, whose scores and offsets are those of the text")  # fmt: skip
            for name, brings in self.corpora.items():
                if (brings.scores or brings.spans) and name in (spec.corpora or self.corpora):
                    raise ValueError(f"steps[{number}]: {spec.step} changes the text, and the attributes that corpus "
                                     f"{name} brings with it are those of the text")  # fmt: skip
        return self
