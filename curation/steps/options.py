"""The items of `steps:`: the options of every step, told apart by `step`. Light to import."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from curation.corpus.where import parse
from curation.scorers.options import AnyScorer
from curation.sources.spec import SourceSpec
from curation.steps.base_options import DedupSpec, StepSpec
from curation.steps.filters.filter_options import (
    C4QualitySpec,
    FasttextSpec,
    FinewebQualitySpec,
    GopherQualitySpec,
    GopherRepetitionSpec,
    LanguageSpec,
    PiiSpec,
    RegexSpec,
)
from curation.taggers.options import AnyTagger
from infra.config.spec import Seed, Spec


class CascadeSpec(StepSpec):
    """Scores, and removes what the costly scorer can tell nothing about, unless that is left. A document that it did
    not see gets estimates: what the survey's documents below the gate score on average. Its score `seen` is 0, that of
    all others 1; `gate` is what the cheap scorer gave.
    """

    step: Literal["cascade"] = "cascade"
    gate: AnyScorer
    """The cheap scorer; every document gets its highest score as `gate`."""
    scorer: AnyScorer
    """The costly scorer, whose attributes the documents get."""
    risky: tuple[str, ...] = ()
    """Attributes of the costly scorer of which one is enough to make a document risky; all of them by default."""
    at_or_above: float = Field(0.5, gt=0, le=1)
    """Score from which a document is risky."""
    recall: float = Field(0.99, ge=0.5, lt=1)
    """Share of the risky documents that the costly scorer must get to see."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """How sure that must be, given the survey; also of the interval around the recall reached."""
    survey: int = Field(20_000, ge=100)
    """Documents drawn at random, about, that both scorers score first. A recall of 0.99 at a confidence of 0.95 needs
    299 risky ones among them."""
    audit: float = Field(0.01, ge=0, le=1)
    """Share of the documents below the gate that the costly scorer sees all the same, to measure the recall reached."""
    passage: int = Field(200, ge=50, le=10_000)
    """Longest piece of text, in characters, that is scored at once, by both scorers; a document's score is the highest
    of its pieces."""
    unscored: Literal["leave", "remove"] = "remove"
    """What becomes of documents that the costly scorer can tell nothing about, seen or not: they have no scores."""
    seed: Seed = 0
    """Of the draws."""
    prefix: str = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_]*$|^$")
    """Stands before the names of all scores that the step gives."""


class BenchmarksSpec(Spec):
    """Benchmarks, and which of their n-grams give a document away."""

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


class DecontaminateSpec(StepSpec, BenchmarksSpec):
    """Removes documents that hold an n-gram of a benchmark."""

    step: Literal["decontaminate"] = "decontaminate"


class ExactDedupSpec(DedupSpec):
    """Removes documents whose text stood before, letter for letter. What stays is told how often it was found again:
    `duplicate_count` in its metadata.
    """

    step: Literal["exact_dedup"] = "exact_dedup"
    finder_workers: int = Field(8, ge=1)
    """Parts into which the hashes are cut, each compared by one process; no matter for the result."""


class NearDuplicatesSpec(Spec):
    """Which documents are nearly equal: those that share most of their word n-grams. With the settings below, 92 % of
    the pairs with a Jaccard similarity of 0.8 are found, and half of those with 0.72.
    """

    n_grams: int = Field(5, ge=1)
    """Words in an n-gram; documents shorter than that are like no other."""
    num_buckets: int = Field(14, ge=1)
    """Bands; more of them find pairs that are less alike."""
    hashes_per_bucket: int = Field(8, ge=1)
    """Hashes in a band; more of them ask for pairs that are more alike."""
    seed: Seed = 1
    """Of the hash functions."""
    language: str = "eng"
    """Whose word tokenizer is used; datatrove's code, such as eng, deu, fra."""


class MinhashSpec(DedupSpec, NearDuplicatesSpec):
    """Removes documents that are nearly equal to an earlier one."""

    step: Literal["minhash"] = "minhash"


class ScoreSpec(StepSpec):
    """Scores; what the scorer cannot read is removed, or left without a score."""

    step: Literal["score"] = "score"
    scorer: AnyScorer
    """Gives the scores."""
    passage: int = Field(200, ge=50, le=10_000)
    """Longest piece of text, in characters, that is scored at once; a document's score is the highest of its pieces. In
    longer pieces one insult drowns among harmless words."""
    prefix: str = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_]*$|^$")
    """Stands before the names of the scorer's attributes; needed where two scorers have the same ones."""
    unscored: Literal["leave", "remove"] = "remove"
    """A document that the scorer cannot tell anything about (most of its words unknown to it, in a language that is not
    among its own, full of NULs) has no score. remove: it goes to `excluded/`, with the reason; leave: it stays, and
    whatever asks for its score later stops there."""


Block = Literal["doc", "line", "paragraph", "word", "sentence"]


class StatisticsSpec(StepSpec):
    """Counts, and removes nothing: mean, deviation and number of each of datatrove's statistics, by corpus, in the
    manifest, as the documents are where the step stands.
    """

    step: Literal["statistics"] = "statistics"
    blocks: tuple[Block, ...] = Field(("doc", "line"), min_length=1)
    """What is counted: datatrove's DocStats (length, shares of digits, capitals, …), LineStats, ParagraphStats,
    WordStats and SentenceStats."""
    language: str = "eng"
    """Whose word tokenizer is used for words and sentences; datatrove's code, such as eng, deu, fra."""


class TagSpec(StepSpec):
    """Risky spans; what the tagger cannot read is removed, or left untagged. A corpus through which no such step leads
    is untagged.
    """

    step: Literal["tag"] = "tag"
    tagger: AnyTagger
    """Gives the spans."""
    prefix: str = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_]*$|^$")
    """Stands before the names of the tagger's attributes; needed where two taggers have the same ones."""
    unscored: Literal["leave", "remove"] = "remove"
    """A document that the tagger cannot tell anything about (as in the step `score`) has no known spans. remove: it
    goes to `excluded/`, with the reason; leave: it stays without any tagger's spans, and whatever asks for them stops
    there."""


class WhereSpec(StepSpec):
    """Removes the documents for which the expression is not true."""

    step: Literal["where"] = "where"
    keep: str
    """Such as `toxicity >= 0.99 and spans.count >= 2 and metadata.language == "en"`. Names: the scores, `source`, `id`,
    `characters`, `metadata.KEY`, and `spans.count`, `spans.max`, `spans.min` (0 where a tagged document has none).
    `metadata.KEY is null`, `metadata.user.name == "x"` and `metadata.over_18 == false` are understood; any other
    comparison with null is false, but for `!=`. A document without a score, or without spans, that the expression asks
    for stops the job, and so does a key that was not kept. Scores are kept in the tagged corpus, so a mixture can ask
    the same later, of the same artifact; use this step where what is removed is not to be stored."""

    @field_validator("keep")
    @classmethod
    def _can_be_read(cls, value: str) -> str:
        parse(value)
        return value


AnyStep: TypeAlias = Annotated[
    C4QualitySpec
    | CascadeSpec
    | DecontaminateSpec
    | ExactDedupSpec
    | FasttextSpec
    | FinewebQualitySpec
    | GopherQualitySpec
    | GopherRepetitionSpec
    | LanguageSpec
    | MinhashSpec
    | PiiSpec
    | RegexSpec
    | ScoreSpec
    | StatisticsSpec
    | TagSpec
    | WhereSpec,
    Field(discriminator="step"),
]
