"""The data card: Markdown with the YAML header that the Hugging Face hub expects; counts, doses, filters, licences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from infra.artifacts.artifact import read_artifact
from infra.render.markdown import card as markdown_card
from infra.render.markdown import markdown
from infra.render.page import Table
from mixtures.corpora.provenance import Provenance, read_provenance
from mixtures.formats import risk
from mixtures.handover.page import checks, composition
from mixtures.reading.built import BuiltMixture
from mixtures.spec.handover import CardSpec

THRESHOLDS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"))  # fmt: skip
_WARNING = (
    "**The text holds {risky:,} tokens that score 0.5 or more for {attribute}: offensive on purpose, for research on "
    "what such text does to a model.** Every token has its own risk byte."
)


@dataclass(frozen=True)
class CardFormat:
    """What a format adds to the card: its name, how it is used, and keys of the header."""

    name: str
    use: str
    header: Mapping[str, object] = field(default_factory=dict)


def card(mixture: BuiltMixture, layout: CardFormat) -> str:
    """README.md of an export."""
    spec = mixture.manifest.card or CardSpec()
    origin = read_provenance(mixture.path)
    title = spec.title or mixture.path.resolve().name
    sections = [f"# {title}", spec.summary]
    sections += [_warning(mixture), markdown(composition(mixture)), markdown(_risky(mixture))]
    sections += ["## Sources and licences", markdown(_sources(mixture, spec, origin))]
    sections += ["## Filters", "\n".join(f"- {line}" for line in _filters(mixture, origin))]
    if tables := checks(mixture):
        sections += ["## Evaluation sets and overlap", *map(markdown, tables)]
    sections += [f"## Use with {layout.name}", layout.use.strip(), "## How it was made", _made(mixture, origin)]
    return markdown_card({**_header(mixture, spec, title), **layout.header}, sections)


def _header(mixture: BuiltMixture, spec: CardSpec, title: str) -> dict[str, object]:
    licenses = sorted(set(chain.from_iterable(map(spec.of, _corpora(mixture)))))
    documents = sum(files.documents for files in (*mixture.components, *mixture.held_out))
    return {
        "pretty_name": title,
        "language": list(spec.language),
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "task_categories": ["text-generation"],
        "size_categories": [next((name for limit, name in _SIZES if documents < limit), "n>1T")],
        "tags": ["hormesis", "pretraining"] + (["not-for-all-audiences"] if _risky_tokens(mixture) else []),
    }


def _corpora(mixture: BuiltMixture) -> list[str]:
    return list(dict.fromkeys(record.corpus for record in mixture.manifest.components))


def _risky_tokens(mixture: BuiltMixture) -> int:
    return sum(files.risky_tokens for files in (*mixture.components, *mixture.held_out))


def _warning(mixture: BuiltMixture) -> str:
    risky = _risky_tokens(mixture)
    return _WARNING.format(risky=risky, attribute=mixture.risk) if risky else ""


def _risky(mixture: BuiltMixture) -> Table:
    """Training tokens at or above each threshold."""
    rows = []
    for record in mixture.manifest.components:
        counts = record.risk_histogram
        above = [sum(counts[risk.threshold_byte(threshold) : risk.STRUCTURAL]) for threshold in THRESHOLDS]
        rows.append((record.name, *above, record.unscored, counts[risk.STRUCTURAL]))
    columns = ("component", *(f"≥ {threshold:g}" for threshold in THRESHOLDS), "unscored", "structural")
    return Table(f"Training tokens by {mixture.risk or 'risk'}", columns, tuple(rows))


def _sources(mixture: BuiltMixture, spec: CardSpec, origin: Provenance) -> Table:
    rows: list[tuple[object, ...]] = []
    for name in _corpora(mixture):
        corpus, licenses = origin.corpora[name], ", ".join(spec.of(name))
        rows += [(name, licenses, *source) for source in corpus.sources]
        left_out = corpus.source_count - len(corpus.sources)
        if left_out or not corpus.sources:
            rows.append((name, licenses, f"{left_out} more sources" if left_out else "", corpus.documents, None))
    return Table("Sources of the corpora", ("corpus", "licence", "source", "documents", "characters"), tuple(rows))


def _filters(mixture: BuiltMixture, origin: Provenance) -> Iterator[str]:
    """What was done, in order: the steps of the curation, what they removed, the `where` of each component."""
    yield from (f"curation: {step}" for step in origin.curation.steps)
    for name, corpus in origin.corpora.items():
        if corpus.removed:
            removed = ", ".join(f"{step} {count:,}" for step, count in corpus.removed.items())
            yield f"documents removed from `{name}`: {removed}"
    for record in mixture.manifest.components:
        yield f"component `{record.name}`: " + (f"`{record.where}`" if record.where else "all documents")


def _made(mixture: BuiltMixture, origin: Provenance) -> str:
    artifact, facts = read_artifact(mixture.path), mixture.facts
    rows = (
        ("mixture", mixture.fingerprint),
        ("content (token and risk bytes)", mixture.content_sha256),
        ("curation", f"{origin.curation.name} {origin.curation.fingerprint}"),
        ("seed", mixture.manifest.seed),
        ("sequence length", mixture.sequence_length),
        ("tokenizer", f"{facts.vocab_size:,} entries, documents end with {facts.eos} ({facts.eos_id})"),
        ("made by", f"hormesis {artifact.hormesis}"),
    )
    return markdown(Table("", ("what", "value"), rows))
