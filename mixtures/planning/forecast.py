"""What a mixture's components will hold: counted where their corpora are tokenised, else estimated from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from curation.corpus.risk_levels import THRESHOLDS
from infra.artifacts.artifact import is_artifact, read_artifact
from infra.errors import InputError, gathered
from mixtures.contamination.stage import stored_sets
from mixtures.corpora.columns import Corpus
from mixtures.planning import estimate
from mixtures.selection.resolve import Component, open_corpora, open_tokens, prepared, resolve
from mixtures.spec.mixture import MixtureSpec, Source
from mixtures.store.locations import tokenizer_folder, tokens_folder, usual_store
from mixtures.tokenizing.corpus_tokens import spelled_note
from mixtures.tokenizing.shard_files import TokensCounts
from mixtures.tokenizing.token_table import read_levels
from mixtures.tokenizing.tokenizer import read_facts

COUNT_LIMIT = 5_000_000  # documents: of more, a plan takes the sums that their tokens artifacts hold


@dataclass(frozen=True)
class Forecast:
    """One component. `risky` holds how many of the tokens taken reach each of curation's thresholds; None where nobody
    tagged them.
    """

    name: str
    available: int
    taken: int
    documents: int
    held_out: int
    risky: tuple[int, ...] | None

    @property
    def repetitions(self) -> float:
        """How often a token is read in one epoch over the mixture."""
        return self.taken / self.available if self.available else 0.0


@dataclass(frozen=True)
class Foreseen:
    """A mixture's components in order; `exact` where they were counted, and what to know where they were not."""

    components: tuple[Forecast, ...]
    exact: bool
    notes: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        """Training tokens in all."""
        return sum(component.taken for component in self.components)

    def samples(self, sequence_length: int) -> int:
        """Training samples of one epoch; every component pads its own last one."""
        return sum(-(-component.taken // sequence_length) for component in self.components)


def foresee(spec: MixtureSpec, store: Path | None = None) -> Foreseen:
    """What a mixture will hold, by the tokens artifacts in `store` (default: beside the corpora), if there
    are any.

    Raises one InputError for everything that is missing, one AmountError for all shortages; of an estimate only for
    those that are certain.
    """
    store = store or usual_store(spec)
    problems: list[str] = []
    corpora: dict[str, Corpus] = {}
    with gathered(problems):
        corpora = open_corpora(spec)
    with gathered(problems):
        tokenizer = tokenizer_folder(spec, store)
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    folders, contaminated = _tokenised(spec, tokenizer, store), stored_sets(spec, corpora, store)
    tokenised = {source[0]: folder for source, folder in folders.items() if source[1] is None}
    few = sum(corpus.manifest.documents for corpus in corpora.values()) <= COUNT_LIMIT
    if few and set(spec.sources) == folders.keys() and contaminated is not None:
        sources = {source: open_tokens(corpora[source[0]], folder) for source, folder in folders.items()}
        components = prepared(spec, resolve(spec, sources, contaminated), tokenizer)
        prefixes = sum(component.prefix_tokens for component in components)
        notes = (f"{prefixes:,} tokens of prefixes come on top",) if spec.conditioning else ()
        return Foreseen(tuple(map(_counted, components)), True, (*notes, *_spelled(tokenised, tokenizer)))
    counts = {name: estimate.Counts(corpus.manifest.documents, corpus.tokens)
              for name, corpus in corpora.items() if corpus.tokens is not None}  # fmt: skip
    for name, folder in tokenised.items():
        artifact = TokensCounts.of(read_artifact(folder))
        counts[name] = estimate.Counts(artifact.documents, artifact.tokens, artifact.levels)
    return _estimated(spec, corpora, counts)


def _tokenised(spec: MixtureSpec, tokenizer: Path, store: Path) -> dict[Source, Path]:
    """The tokens artifacts that are there."""
    if not is_artifact(tokenizer):
        return {}
    folders = {source: tokens_folder(spec, source, tokenizer, store) for source in spec.sources}
    return {source: folder for source, folder in folders.items() if is_artifact(folder)}


def _spelled(tokenised: Mapping[str, Path], tokenizer: Path) -> tuple[str, ...]:
    """Which corpora spell the EOS in their texts."""
    eos = read_facts(tokenizer).eos
    notes = (spelled_note(name, TokensCounts.of(read_artifact(folder)), eos) for name, folder in tokenised.items())
    return tuple(note for note in notes if note is not None)


def _counted(component: Component) -> Forecast:
    return Forecast(
        name=component.name,
        available=component.available,
        taken=component.requested,
        documents=component.distinct_documents,
        held_out=int(component.held_out.tokens.sum()),
        risky=_risky(component) if component.source.corpus.tagged and component.replaced is None else None,
    )


def _risky(component: Component) -> tuple[int, ...]:
    """Tokens taken that reach each threshold; of a document that is cut, in proportion."""
    selection, training = component.selection, component.training
    share = selection.tokens / training.tokens[selection.position]
    weight = np.bincount(selection.position, share, minlength=len(training))
    bounds = np.searchsorted(training.shard, np.arange(len(component.source.corpus.shards) + 1))  # in corpus order
    total = np.zeros(len(THRESHOLDS))
    for shard, (first, last) in enumerate(pairwise(bounds)):
        if weight[first:last].any():
            total += weight[first:last] @ read_levels(component.source.prefix(shard))[training.row[first:last]]
    return tuple(int(tokens) for tokens in np.rint(total))


def _estimated(spec: MixtureSpec, corpora: Mapping[str, Corpus], counts: Mapping[str, estimate.Counts]) -> Foreseen:
    stocks = {name: estimate.stock(name, spec, corpora[component.corpus], counts.get(component.corpus))
              for name, component in spec.components.items()}  # fmt: skip
    requested, short = estimate.amounts_of(spec, stocks)
    components = []
    for name, stock in stocks.items():
        held = spec.hold_out.get(name, 0)
        available = max(0, stock.tokens - held)
        repeated = min(1.0, requested[name] / available) if available else 0.0
        risky = None if stock.risky is None else tuple(round(requested[name] * share) for share in stock.risky)
        components.append(Forecast(name, available, requested[name], round(stock.documents * repeated), held, risky))
    notes = [f"estimated from {'sums' if counts.keys() == corpora.keys() else 'manifests'}, not counted"]
    notes += [f"{', '.join(short)}: likely short of tokens"] if short else []
    return Foreseen(tuple(components), exact=False, notes=tuple(notes))
