"""The step `decontaminate`: datatrove's n-gram filter against the texts of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from curation.source_spec import SourceSpec
from curation.steps.base import Context, Step, StepSpec
from curation.steps.base_filter import language_known, told
from infra.errors import InputError

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter

    from curation.execution.base import Job


class DecontaminateSpec(StepSpec):
    """Removes documents that hold an n-gram of a benchmark."""

    step: Literal["decontaminate"] = "decontaminate"
    against: dict[str, SourceSpec] = Field(min_length=1)
    """Benchmarks by name: where their texts are (`text:` the answer, or all of it where there is no `query:`)."""
    query: str | None = None
    """Key of the question, of those that the benchmark's source is told to `keep`."""
    n_grams: int = Field(12, ge=2)
    """Words in an n-gram; a benchmark's text that is shorter finds nothing."""
    find_query_ngrams: bool = False
    """Also n-grams that lie in the question alone."""
    find_overlap_ngrams: bool = True
    """Also n-grams that begin in the question and end in the answer."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class Decontaminate(Step):
    """datatrove's n-grams and filter; the index is built here, since datatrove's indexer wants lighteval."""

    options = DecontaminateSpec
    spec: DecontaminateSpec

    def phases(self, context: Context) -> list[Job]:
        """One job that hashes the n-grams of the benchmarks; it reads nothing of the corpus."""
        from curation.shards import Call

        index = context.folder / "index"
        return [context.job("index", Call(build_index, self.spec, str(index)), labels=("benchmarks",))]

    def inputs(self) -> dict[str, str]:
        """Contents of the benchmarks."""
        from curation.parts import fingerprint_of_sources

        return {f"against.{name}": fingerprint_of_sources((source,)) for name, source in self.spec.against.items()}

    def check(self) -> None:
        """The word tokenizer, so that an unknown language or a missing package is told before any worker starts."""
        with told(self.spec.step):
            language_known(self.spec.language)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Remove documents with an n-gram of the index; the reason names the benchmark."""
        judge = _filter(self.spec, str(context.folder / "index"))
        for document in documents:
            if judge.filter(document) is True:
                yield document
            else:
                context.removed.remove(document, _reason(document))

    def describe(self) -> str:
        """`decontaminate: mmlu, boolq`."""
        return f"decontaminate: {', '.join(self.spec.against)}"


def _reason(document: Document) -> str:
    return f"an n-gram of {document.metadata.pop('contaminated_task')}"


def build_index(spec: DecontaminateSpec, folder: str) -> None:
    """Write `NAME.index.hashes` for every benchmark. Raises InputError where one gives no n-gram at all."""
    import numpy as np
    from datatrove.pipeline.decont.n_grams import NGramsDecontIndexer

    from curation.sources import read_source
    from infra.atomic import write_bytes

    holder = _filter(spec, folder)  # has all that datatrove's indexer looks at, which cannot be made without lighteval
    for name, source in spec.against.items():
        found: set[int] = set()
        for raw in read_source(source):
            query = raw.metadata.get(spec.query) if spec.query else None
            found.update(NGramsDecontIndexer.compute_hashes(holder, raw.text, query))
        if not found:
            raise InputError(f"decontaminate: {name} has no text of {spec.n_grams} words; lower n_grams")
        hashes = np.array(sorted(found), dtype=holder.config.hash_config.np_descr)
        write_bytes(Path(folder) / f"{name}.index.hashes", hashes.tobytes())


def _filter(spec: DecontaminateSpec, index: str) -> NGramsDecontFilter:
    """datatrove's filter; it reads the index when it first judges."""
    from datatrove.pipeline.decont.n_grams import NGramsDecontFilter

    return NGramsDecontFilter(index, _config(spec), language=spec.language)


def _config(spec: DecontaminateSpec) -> NGramsDecontConfig:
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig

    return NGramsDecontConfig(spec.n_grams, spec.find_query_ngrams, spec.find_overlap_ngrams)
