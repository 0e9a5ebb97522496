"""The step `decontaminate`: datatrove's n-gram filter against the texts of benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curation.sources.input_files import fingerprint_of_sources
from curation.sources.read import read_source
from curation.steps.base import Context, Step
from curation.steps.filters.base_filter import language_known, told
from curation.steps.options import BenchmarksSpec, DecontaminateSpec
from infra.atomic import write_bytes
from infra.errors import InputError
from infra.jobs.base import Job

if TYPE_CHECKING:
    from datatrove.data import Document
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter


class Decontaminate(Step):
    """datatrove's n-grams and filter; the index is built here, since datatrove's indexer wants lighteval."""

    options = DecontaminateSpec
    version = 2  # long runs of marks are cut before words are told apart
    spec: DecontaminateSpec

    def phases(self, context: Context) -> list[Job]:
        """One job that hashes the n-grams of the benchmarks; it reads nothing of the corpus."""
        from curation.shards.shards import Call

        index = context.folder / "index"
        return [context.job("index", Call(build_index, self.spec, str(index)), labels=("benchmarks",))]

    def inputs(self) -> dict[str, str]:
        """Contents of the benchmarks."""
        return contents_of(self.spec)

    def check(self) -> None:
        """The word tokenizer, so that an unknown language or a missing package is told before any worker starts."""
        check_language(self.spec)

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Remove documents with an n-gram of the index; the reason names the benchmark."""
        judge = ngram_filter(self.spec, str(context.folder / "index"))
        for document in documents:
            if judge.filter(document) is True:  # else a pair, which is true as well
                yield document
            else:
                context.removed.remove(document, f"an n-gram of {document.metadata.pop('contaminated_task')}")

    def describe(self) -> str:
        """`decontaminate: mmlu, boolq`."""
        return f"decontaminate: {', '.join(self.spec.against)}"


def contents_of(spec: BenchmarksSpec) -> dict[str, str]:
    """Digest of each benchmark's contents, for a fingerprint."""
    return {f"against.{name}": fingerprint_of_sources((source,)) for name, source in spec.against.items()}


def check_language(spec: BenchmarksSpec) -> None:
    """Raise InputError for a language without a word tokenizer, UnavailableError where its package is missing."""
    with told("decontaminate"):
        language_known(spec.language)


def build_index(spec: BenchmarksSpec, folder: str) -> None:
    """Write `NAME.index.hashes` for every benchmark. Raises InputError where one gives no n-gram at all."""
    holder = ngram_filter(spec, folder)
    for name in spec.against:
        write_index(spec, name, set(chain.from_iterable(hashes_of_texts(spec, name, holder))), folder)


def write_index(spec: BenchmarksSpec, name: str, hashes: set[int], folder: str) -> None:
    """Write one benchmark's hashes as datatrove's filter reads them. Raises InputError where there are none."""

    if not hashes:
        raise InputError(f"decontaminate: {name} has no text of {spec.n_grams} words; lower n_grams")
    dtype = _config(spec).hash_config.np_descr
    write_bytes(Path(folder) / f"{name}.index.hashes", np.array(sorted(hashes), dtype=dtype).tobytes())


def hashes_of_texts(spec: BenchmarksSpec, name: str, holder: NGramsDecontFilter) -> Iterator[list[int]]:
    """Hashes of the n-grams of each text of a benchmark; none where it is shorter than an n-gram."""
    for raw in read_source(spec.against[name]):
        query = raw.metadata.get(spec.query) if spec.query else None
        yield hashes_of(raw.text, query, holder)


def hashes_of(text: str, query: str | None, holder: NGramsDecontFilter) -> list[int]:
    """datatrove's hashes of a text's n-grams, in order. Its indexer cannot be made without lighteval, but its method
    finds all that it looks at in the filter.
    """
    from datatrove.pipeline.decont.n_grams import NGramsDecontIndexer

    return list(NGramsDecontIndexer.compute_hashes(holder, text, query))


def ngram_filter(spec: BenchmarksSpec, index: str) -> NGramsDecontFilter:
    """datatrove's filter; it reads the index when it first judges."""
    from datatrove.pipeline.decont.n_grams import NGramsDecontFilter

    from curation.text.word_tokenizer import BoundedTokenizer

    return NGramsDecontFilter(index, _config(spec), language=BoundedTokenizer(spec.language))


def _config(spec: BenchmarksSpec) -> NGramsDecontConfig:
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig

    return NGramsDecontConfig(spec.n_grams, spec.find_query_ngrams, spec.find_overlap_ngrams)
