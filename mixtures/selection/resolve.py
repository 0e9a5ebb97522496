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

from curation.corpus.tagged import TaggedCorpus
from curation.corpus.where import RISKY_SHARE, SPANS, Where, check_names
from infra.artifacts.artifact import read_artifact
from infra.config.faults import nearest
from infra.errors import AmountError, ArtifactError, InputError, gathered
from mixtures.contamination.hits import Contamination, Contaminations
from mixtures.corpora import select
from mixtures.corpora.columns import Corpus, batches, corpus_in, matches, scores, where_columns
from mixtures.corpora.select import CorpusDocuments, Selection
from mixtures.formats import long_arrays, risk
from mixtures.selection.prefixes import Prefixes, prefixes_of
from mixtures.selection.risky_share import risky_shares
from mixtures.spec import amounts
from mixtures.spec.mixture import ByScore, ComponentSpec, MixtureSpec, Source
from mixtures.tokenizing.corpus_tokens import check_risk
from mixtures.tokenizing.megatron import check_twin, open_megatron
from mixtures.tokenizing.shard_files import TokensCounts
from mixtures.tokenizing.token_table import documents_path
from mixtures.tokenizing.tokenizer import TokenizerFacts, read_facts

NOTHING: Contaminations = MappingProxyType({})


@dataclass(frozen=True)
class TokenisedCorpus:
    """A corpus and its tokens artifact; `documents` lists every document, shard after shard."""

    corpus: Corpus
    tokens: Path
    documents: CorpusDocuments

    def prefix(self, shard: int) -> Path:
        """Token file prefix of shard number `shard`."""
        return self.tokens / self.corpus.shards[shard].stem


@dataclass(frozen=True)
class Replaced:
    """Tokens of a risk byte from `level` on become `token`, and structural: the removal arm."""

    level: int
    token: int

    @classmethod
    def by(cls, facts: TokenizerFacts, at_or_above: float) -> Replaced:
        """Replaced by <|removed|>, or by the padding where the tokenizer has no such token. Raises InputError."""
        token = facts.pad_id if facts.removed_id is None else facts.removed_id
        if token == facts.eos_id:
            raise InputError(
                "risky_spans: the tokenizer has neither <|removed|> nor a padding of its own to put in their place; "
                "add one to tokenizer.json, cut the spans, or remove them by the loss policy"
            )
        return cls(risk.threshold_byte(at_or_above), token)


@dataclass(frozen=True)
class Component:
    """One component resolved: its documents, which of them are held out, which are taken for training.

    `source` is what it is trained on, `whole` the same corpus with nothing cut out, from which documents are chosen and
    held out.
    """

    name: str
    spec: ComponentSpec
    source: TokenisedCorpus
    whole: TokenisedCorpus
    training: CorpusDocuments
    held_out: CorpusDocuments
    selection: Selection
    requested: int
    contaminated: int = 0
    """Documents that pass `where` and are left out, since they hold text of an evaluation set."""
    prefixes: Prefixes | None = None
    """Of the documents as they are written; None: none has one."""
    cooldown: int = 0
    """How many of the written documents belong to the cooldown, the last ones."""
    replaced: Replaced | None = None
    """Which tokens are replaced by which; None: none are."""

    @property
    def available(self) -> int:
        """Training tokens it has, once."""
        return int(self.training.tokens.sum())

    @property
    def repetitions(self) -> float:
        """How often its training tokens are read in one epoch over the mixture."""
        return self.requested / self.available if self.available else 0.0

    @property
    def prefix_tokens(self) -> int:
        """Tokens of all prefixes; they come on top of `requested`."""
        return 0 if self.prefixes is None else self.prefixes.total

    @property
    def distinct_documents(self) -> int:
        """Documents it takes, repetitions not counted."""
        return int(np.count_nonzero(self.selection.epoch == 0))


def open_corpora(spec: MixtureSpec) -> dict[str, Corpus]:
    """The corpora of a mixture, in order, after checking that they have what its `where` and `risk` ask for.

    From manifests only, so that a wrong name is told before anything is tokenised. Raises one InputError for all that
    is wrong.
    """
    problems: list[str] = []
    corpora: dict[str, Corpus] = {}
    known = {} if spec.curation is None else TaggedCorpus.open_all(spec.curation)
    for component in spec.components.values():
        with gathered(problems):
            corpus = corpora[component.corpus] = _open(spec, component.corpus, known)
            if component.condition is not None:
                component.condition.check_names(corpus.attributes, component.corpus, (*SPANS, RISKY_SHARE))
            _check_order(component, corpus)
    for name in spec.conditioned:
        _check_conditioning(spec, name, corpora, problems)
    for name, corpus in corpora.items():
        with gathered(problems):
            if name in spec.megatron:
                check_twin(name, spec.megatron[name], spec.risk)
            else:
                check_risk(corpus, spec.risk)
    if problems:
        raise InputError("\n".join(dict.fromkeys(problems)))
    return corpora


def _check_conditioning(spec: MixtureSpec, name: str, corpora: Mapping[str, Corpus], problems: list[str]) -> None:
    """Keep what the prefixes ask for and the corpus of component `name` does not have."""
    assert spec.conditioning is not None
    if (corpus := corpora.get(spec.components[name].corpus)) is None:
        return
    with gathered(problems):
        check_names(spec.conditioning.names(), "conditioning", corpus.attributes, corpus.name, (*SPANS, RISKY_SHARE))


def _open(spec: MixtureSpec, name: str, known: Mapping[str, TaggedCorpus]) -> Corpus:
    if name not in spec.megatron:
        assert spec.curation is not None
        return corpus_in(spec.curation, known, name)
    if name in known:
        raise InputError(f"megatron.{name}: {spec.curation} has a corpus of that name too; call it otherwise")
    return open_megatron(name, spec.megatron[name])


def open_tokens(corpus: Corpus, tokens: Path) -> TokenisedCorpus:
    """Load the documents tables of a tokens artifact. Raises ArtifactError when it does not fit the corpus."""
    if not corpus.shards:  # of Megatron files, whose documents are shards only once they are imported
        names = TokensCounts.of(read_artifact(tokens, "tokens")).shards
        corpus = replace(corpus, shards=tuple(tokens / f"{name}.parquet" for name in names))
    kinds = (np.int32, np.int32, np.int64, np.uint64)
    documents = CorpusDocuments(*(long_arrays.new(corpus.manifest.documents, kind) for kind in kinds))
    held = 0
    for number, shard in enumerate(corpus.shards):
        table = pq.read_table(documents_path(tokens / shard.stem), columns=["row", "tokens", "identity"])
        rows, held = slice(held, held + table.num_rows), held + table.num_rows
        if held <= len(documents):
            documents.shard[rows] = number
            documents.row[rows], documents.tokens[rows], documents.identity[rows] = map(np.asarray, table.columns)
    if held != len(documents):
        raise ArtifactError(f"{tokens}: holds {held} documents of {len(documents)}; remove it")
    return TokenisedCorpus(corpus, tokens, documents)


def resolve(
    spec: MixtureSpec, sources: Mapping[Source, TokenisedCorpus], contaminated: Contaminations = NOTHING
) -> list[Component]:
    """Decide every component's documents. `sources` holds what the mixture is made of, `contaminated` by corpus what is
    left out of it.

    Raises one AmountError for all shortages.
    """
    whole = {name: sources[component.corpus, None] for name, component in spec.components.items()}
    passing = {name: _eligible(component, whole[name]) for name, component in spec.components.items()}
    eligible = {
        name: _clean(passing[name], whole[name].documents, contaminated.get(component.corpus))
        for name, component in spec.components.items()
    }
    _refuse_overlap(spec, eligible, whole)
    held = _held_out(spec, whole, eligible)
    trained = {name: sources[component.source] for name, component in spec.components.items()}
    training = {
        name: _not_empty(_without(eligible[name], held[name], whole[name]), trained[name], component.cut)
        for name, component in spec.components.items()
    }
    documents = {name: trained[name].documents.take(training[name]) for name in trained}
    requested = _amounts(spec, {name: int(documents[name].tokens.sum()) for name in documents})
    components = []
    for name, component in spec.components.items():
        chosen = select.choose(documents[name], requested[name], spec.seed)
        components.append(
            Component(
                name=name,
                spec=component,
                source=trained[name],
                whole=whole[name],
                training=documents[name],
                held_out=whole[name].documents.take(held[name]),
                selection=select.arrange(chosen, _order(component, whole[name], training[name])),
                requested=requested[name],
                contaminated=len(passing[name]) - len(eligible[name]),
            )
        )
    return components


def _amounts(spec: MixtureSpec, available: Mapping[str, int]) -> dict[str, int]:
    """Tokens of each component. Raises one AmountError for all shortages."""
    asked = {name: component.amount for name, component in spec.components.items()}
    requested = amounts.resolve(asked, available)
    amounts.refuse_nothing(asked, available, requested)
    supplies = {
        name: amounts.Supply(available[name], component.max_epochs) for name, component in spec.components.items()
    }
    amounts.check(requested, supplies)
    if not sum(requested.values()):
        raise AmountError("components: the mixture would hold no token; ask for some")
    return requested


def _not_empty(training: select.Ints, trained: TokenisedCorpus, cut: float | None) -> select.Ints:
    """Without the documents of which cutting left nothing but the EOS."""
    return training if cut is None else long_arrays.keep(training, trained.documents.tokens > 1)


def prepared(spec: MixtureSpec, components: list[Component], tokenizer: Path) -> list[Component]:
    """The same components with what needs the tokenizer: tokens of prefixes, and the token that stands for risky ones;
    and with the documents of the cooldown told apart.
    """
    return [_prepared(spec, component, tokenizer) for component in components]


def _prepared(spec: MixtureSpec, component: Component, tokenizer: Path) -> Component:
    how, spans = spec.conditioning, component.spec.risky_spans
    if spans is not None and spans.do == "replace":
        component = replace(component, replaced=Replaced.by(read_facts(tokenizer), spans.at_or_above))
    if how is None:
        return component
    cooldown = select.cooldown(component.selection, how.cooldown)
    if component.name not in spec.conditioned:
        return replace(component, cooldown=cooldown)
    whole = component.whole
    prefixes = prefixes_of(how, whole.corpus, whole.tokens, component.training, spec.seed, tokenizer)
    return replace(component, cooldown=cooldown, prefixes=prefixes.written(component.selection.position, cooldown))


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
    columns = [
        scores(component.order.by, batch, shard, row)
        for shard in source.corpus.shards
        for row, batch in batches(shard, ["scores"], 1 << 14)
    ]
    values = np.concatenate(columns)[training]
    return np.argsort(-values if component.order.descending else values, kind="stable")


def _eligible(component: ComponentSpec, source: TokenisedCorpus) -> select.Ints:
    """Positions of the documents that pass `where`."""
    where = component.condition
    if where is None:
        return long_arrays.where(np.ones(len(source.documents), np.bool_))
    masks = [_passes(where, shard, source.prefix(number)) for number, shard in enumerate(source.corpus.shards)]
    return long_arrays.where(np.concatenate(masks))


def _clean(positions: select.Ints, documents: CorpusDocuments, hits: Contamination | None) -> select.Ints:
    """Without the documents that hold text of an evaluation set."""
    return positions if hits is None else long_arrays.keep(positions, ~hits.among(documents))


def _passes(where: Where, shard: Path, tokens: Path) -> select.Mask:
    """Which documents of a shard, tokenised as `tokens`, pass."""
    shares = risky_shares(where, tokens)
    masks = []
    for row, batch in batches(shard, where_columns(where) or ["id"], 1 << 14):
        known = {name: values[row : row + batch.num_rows] for name, values in shares.items()}
        masks.append(matches(where, batch, shard, row, known))
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _without(positions: select.Ints, held: select.Ints, whole: TokenisedCorpus) -> select.Ints:
    """The positions that are not held out."""
    return long_arrays.keep(positions, ~long_arrays.mask_of(held, len(whole.documents)))


def _refuse_overlap(
    spec: MixtureSpec, eligible: Mapping[str, select.Ints], whole: Mapping[str, TokenisedCorpus]
) -> None:
    """Two components over one corpus must not take the same document: it would be trained on twice in silence."""
    names = list(spec.components)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            if spec.components[first].corpus != spec.components[second].corpus:
                continue
            both = (long_arrays.mask_of(eligible[name], len(whole[name].documents)) for name in (first, second))
            shared = int(np.count_nonzero(np.logical_and(*both)))
            if shared:
                raise AmountError(
                    f"components: {first!r} and {second!r} share {shared:,} documents of corpus "
                    f"{spec.components[first].corpus!r}; make their `where` exclude each other"
                )


def _held_out(
    spec: MixtureSpec, whole: Mapping[str, TokenisedCorpus], eligible: Mapping[str, select.Ints]
) -> dict[str, select.Ints]:
    """Held-out positions of each component, every shortage at once. Decided before, and whatever, the amounts."""
    held, short = {}, []
    for name in spec.components:
        documents = whole[name].documents.take(eligible[name])
        try:
            chosen = select.hold_out(documents, spec.hold_out.get(name, 0), spec.seed, name)
        except AmountError as error:
            short.append(str(error))
            continue
        # The same id twice in a corpus is held out twice: a document must not be on both sides.
        twins = select.among(documents.identity, documents.identity[chosen])
        held[name] = eligible[name][np.flatnonzero(twins)]
    if short:
        raise AmountError("\n".join(short))
    return held
