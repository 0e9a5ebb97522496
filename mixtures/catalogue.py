"""From a mixture's specification to the documents each component takes: the decisions, without the bytes.

`plan` prints them and `build` writes them, so that what is built is what was planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow.parquet as pq

from curation.where import RISKY_SHARE, SPANS, Where
from infra.errors import AmountError, ArtifactError, InputError
from infra.spec import nearest
from mixtures import amounts, select
from mixtures.contamination.found import Contamination
from mixtures.corpus import Corpus, batches, matches, open_corpus, scores, where_columns
from mixtures.select import Documents, Selection
from mixtures.shares import risky_shares
from mixtures.spec import ByScore, ComponentSpec, MixtureSpec
from mixtures.tokens import check_risk, documents_path

NOTHING: Mapping[str, Contamination] = MappingProxyType({})


@dataclass(frozen=True)
class TokenisedCorpus:
    """A corpus and its tokens artifact; `documents` lists every document, shard after shard, with its risky tokens."""

    corpus: Corpus
    tokens: Path
    documents: Documents
    risky: select.Ints

    def prefix(self, shard: int) -> Path:
        """Token file prefix of shard number `shard`."""
        return self.tokens / self.corpus.shards[shard].stem


@dataclass(frozen=True)
class Component:
    """One component resolved: its documents, which of them are held out, which are taken for training."""

    name: str
    spec: ComponentSpec
    source: TokenisedCorpus
    training: Documents
    training_risky: select.Ints
    held_out: Documents
    selection: Selection
    wanted: int
    contaminated: int = 0
    """Documents that pass `where` and are left out, since they hold text of an evaluation set."""

    @property
    def available(self) -> int:
        """Training tokens it has, once."""
        return int(self.training.tokens.sum())

    @property
    def repetitions(self) -> float:
        """How often its training tokens are read in one epoch over the mixture."""
        return self.wanted / self.available if self.available else 0.0

    @property
    def distinct_documents(self) -> int:
        """Documents it takes, repetitions not counted."""
        return int(np.count_nonzero(self.selection.epoch == 0))


def open_corpora(spec: MixtureSpec) -> dict[str, Corpus]:
    """The corpora of a mixture, in order, after checking that they have what its `where` and `risk` ask for.

    From manifests only, so that a wrong name is told before anything is tokenised. Raises InputError.
    """
    corpora = {each.corpus: open_corpus(spec.curation, each.corpus) for each in spec.components.values()}
    for component in spec.components.values():
        if component.condition is not None:
            known = (*SPANS, RISKY_SHARE)
            component.condition.check_names(corpora[component.corpus].attributes, component.corpus, known)
        _check_order(component, corpora[component.corpus])
    for corpus in corpora.values():
        check_risk(corpus, spec.risk)
    return corpora


def open_tokens(curation: str | Path, corpus_name: str, tokens: Path) -> TokenisedCorpus:
    """Load the documents tables of a tokens artifact. Raises ArtifactError when it does not fit the corpus."""
    corpus = open_corpus(curation, corpus_name)
    parts, risky = [], []
    for number, shard in enumerate(corpus.shards):
        columns = ["row", "identity", "tokens", "risky_tokens"]
        table = pq.read_table(documents_path(tokens / shard.stem), columns=columns)
        column = {name: table.column(name).to_numpy() for name in columns}
        parts.append(
            Documents(np.full(table.num_rows, number, np.int32), column["row"], column["tokens"], column["identity"])
        )
        risky.append(column["risky_tokens"])
    documents = _concatenate(parts)
    if len(documents) != corpus.manifest["documents"]:
        raise ArtifactError(f"{tokens}: holds {len(documents)} documents of {corpus.manifest['documents']}; remove it")
    return TokenisedCorpus(corpus, tokens, documents, np.concatenate(risky))


def resolve(
    spec: MixtureSpec, sources: Mapping[str, TokenisedCorpus], contaminated: Mapping[str, Contamination] = NOTHING
) -> list[Component]:
    """Decide every component's documents. `sources` holds each corpus by name, `contaminated` what is left out of it.

    Raises one AmountError for all shortages.
    """
    passing = {name: _eligible(each, sources[each.corpus]) for name, each in spec.components.items()}
    eligible = {
        name: _clean(passing[name], sources[each.corpus].documents, contaminated.get(each.corpus))
        for name, each in spec.components.items()
    }
    _refuse_overlap(spec, eligible)
    held = _held_out(spec, sources, eligible)
    training = {name: np.setdiff1d(eligible[name], held[name], assume_unique=True) for name in spec.components}
    available = {
        name: int(sources[each.corpus].documents.tokens[training[name]].sum()) for name, each in spec.components.items()
    }
    asked = {name: each.amount for name, each in spec.components.items()}
    wanted = amounts.resolve(asked, available)
    amounts.check(
        wanted, {name: amounts.Supply(available[name], each.max_epochs) for name, each in spec.components.items()}
    )
    if not sum(wanted.values()):
        raise AmountError("the mixture would hold no token; ask for some")
    return [
        replace(
            _component(spec, name, sources[each.corpus], training[name], held[name], wanted[name]),
            contaminated=len(passing[name]) - len(eligible[name]),
        )
        for name, each in spec.components.items()
    ]


def _component(
    spec: MixtureSpec, name: str, source: TokenisedCorpus, training: select.Ints, held: select.Ints, wanted: int
) -> Component:
    documents = source.documents.take(training)
    order = _order(spec.components[name], source, training)
    return Component(
        name=name,
        spec=spec.components[name],
        source=source,
        training=documents,
        training_risky=source.risky[training],
        held_out=source.documents.take(held),
        selection=select.arrange(select.choose(documents, wanted, spec.seed), order),
        wanted=wanted,
    )


def _check_order(component: ComponentSpec, corpus: Corpus) -> None:
    if isinstance(component.order, ByScore) and component.order.by not in corpus.attributes:
        hint = nearest(component.order.by, corpus.attributes)
        have = ", ".join(corpus.attributes)
        raise InputError(f"order: corpus {corpus.name!r} has no score {component.order.by!r}; it has {have}{hint}")


def _order(component: ComponentSpec, source: TokenisedCorpus, training: select.Ints) -> select.Ints | None:
    """Positions among the training documents in the order asked for; None: as they are chosen, the trainer shuffles."""
    if component.order == "shuffled":
        return None
    if component.order == "corpus":
        return np.arange(len(training), dtype=np.int64)
    parts = [
        scores(component.order.by, batch, shard, row)
        for shard in source.corpus.shards
        for row, batch in batches(shard, ["scores"], 1 << 14)
    ]
    values = np.concatenate(parts)[training]
    return np.argsort(-values if component.order.descending else values, kind="stable")


def _eligible(component: ComponentSpec, source: TokenisedCorpus) -> select.Ints:
    """Positions of the documents that pass `where`."""
    where = component.condition
    if where is None:
        return np.arange(len(source.documents), dtype=np.int64)
    masks = [_passes(where, shard, source.prefix(number)) for number, shard in enumerate(source.corpus.shards)]
    return np.flatnonzero(np.concatenate(masks)).astype(np.int64)


def _clean(positions: select.Ints, documents: Documents, found: Contamination | None) -> select.Ints:
    """Without the documents that hold text of an evaluation set."""
    return positions if found is None else positions[~found.among(documents)[positions]]


def _passes(where: Where, shard: Path, tokens: Path) -> select.Mask:
    """Which documents of a shard, tokenised as `tokens`, pass."""
    shares = risky_shares(where, tokens)
    masks = []
    for row, batch in batches(shard, where_columns(where) or ["id"], 1 << 14):
        here = {name: values[row : row + batch.num_rows] for name, values in shares.items()}
        masks.append(matches(where, batch, shard, row, here))
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _refuse_overlap(spec: MixtureSpec, eligible: Mapping[str, select.Ints]) -> None:
    """Two components over one corpus must not take the same document: it would be trained on twice in silence."""
    names = list(spec.components)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            if spec.components[first].corpus != spec.components[second].corpus:
                continue
            shared = len(np.intersect1d(eligible[first], eligible[second], assume_unique=True))
            if shared:
                raise AmountError(
                    f"components {first!r} and {second!r} share {shared:,} documents of corpus "
                    f"{spec.components[first].corpus!r}; make their `where` exclude each other"
                )


def _held_out(
    spec: MixtureSpec, sources: Mapping[str, TokenisedCorpus], eligible: Mapping[str, select.Ints]
) -> dict[str, select.Ints]:
    """Held-out positions of each component, every shortage at once. Decided before, and whatever, the amounts."""
    held, short = {}, []
    for name, component in spec.components.items():
        documents = sources[component.corpus].documents.take(eligible[name])
        try:
            chosen = select.hold_out(documents, spec.hold_out.get(name, 0), spec.seed, name)
        except AmountError as error:
            short.append(str(error))
            continue
        # The same id twice in a corpus is held out twice: a document must not be on both sides.
        twins = np.isin(documents.identity, documents.identity[chosen])
        held[name] = eligible[name][np.flatnonzero(twins)]
    if short:
        raise AmountError("\n".join(short))
    return held


def _concatenate(parts: list[Documents]) -> Documents:
    return Documents(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("shard", "row", "tokens", "identity"))
    )
