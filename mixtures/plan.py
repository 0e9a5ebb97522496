"""What a mixture will hold, before it is built: exact where the corpora are tokenised already, else estimated and so
labelled.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from infra.artifact import is_artifact
from infra.errors import AmountError
from infra.stage import Plan, Table
from mixtures import amounts
from mixtures.build import tokenizer_place, tokens_place
from mixtures.catalogue import Component, TokenisedCorpus, open_corpora, open_tokens, prepared, resolve
from mixtures.contamination.stage import stored_sets
from mixtures.corpus import Corpus, batches, matches, where_columns
from mixtures.shares import guessed_shares
from mixtures.spec import ComponentSpec, MixtureSpec, Source, TokenizerSpec

_COLUMNS = ("component", "requested", "available", "taken", "repetitions", "documents", "risky ≥ 0.5", "held out")
_CHARACTERS_PER_TOKEN = 4.2  # English under a byte-level BPE of about 50,000 entries
_SAMPLE = 2000  # documents of a corpus whose scores an estimate looks at
_ENCODED = 200  # documents that it tokenises
_BYTES_PER_TOKEN = 3  # uint16 token and risk byte


def plan_mixture(spec: MixtureSpec, store: Path | None = None) -> Plan:
    """Plan a mixture: exactly when its tokens artifacts are in `store` (default: beside the curation artifact).

    Raises one AmountError for all shortages; of an estimate only for those that are certain (a token is at least one
    byte).
    """
    corpora = open_corpora(spec)
    store = store or Path(spec.curation).parent / "store"
    sources, contaminated = _tokenised(spec, store), stored_sets(spec, corpora, store)
    if sources is not None and contaminated is not None:
        resolved = resolve(spec, sources, contaminated)
        return _exact(spec, prepared(spec, resolved, tokenizer_place(spec, store)))
    return _estimated(spec, corpora)


def _tokenised(spec: MixtureSpec, store: Path) -> dict[Source, TokenisedCorpus] | None:
    """The tokens artifacts of all corpora, or None when one is not made yet."""
    tokenizer = tokenizer_place(spec, store)
    if not is_artifact(tokenizer):
        return None
    places = {source: tokens_place(spec, source, tokenizer, store) for source in spec.sources}
    if not all(is_artifact(place) for place in places.values()):
        return None
    return {source: open_tokens(spec.curation, source[0], place) for source, place in places.items()}


def _exact(spec: MixtureSpec, components: list[Component]) -> Plan:
    total = sum(each.wanted for each in components)
    rows = tuple(
        (
            each.name,
            _requested(each.spec),
            each.available,
            each.wanted,
            round(each.repetitions, 4),
            each.distinct_documents,
            _risky_share(each),
            int(each.held_out.tokens.sum()),
        )
        for each in components
    )
    prefixes = sum(each.prefix_tokens for each in components)
    notes = (f"{prefixes:,} tokens of prefixes come on top",) if spec.conditioning else ()
    table = Table("components", _COLUMNS, rows)
    return Plan(f"mixture {spec.name}: {total:,} tokens", (table,), (*notes, *_notes(spec, total + prefixes)))


def _risky_share(component: Component) -> str:
    """Share of risky tokens; a document that is cut counts in proportion."""
    if component.spec.amount.tokens == 0 or not component.wanted:
        return "-"
    position, taken = component.selection.position, component.selection.tokens
    whole = component.training.tokens[position]
    risky = float((component.training_risky[position] * (taken / whole)).sum())
    return f"{risky / component.wanted:.2%}"


@dataclass(frozen=True)
class _Estimate:
    """What a component probably has, from its corpus's manifest and a sample of scores; `most` is certain."""

    documents: int
    tokens: int
    most: int


def _estimated(spec: MixtureSpec, corpora: dict[str, Corpus]) -> Plan:
    guesses = {
        name: _estimate(each, corpora[each.corpus], spec.tokenizer, spec.risk) for name, each in spec.components.items()
    }
    held = {name: spec.hold_out.get(name, 0) for name in spec.components}
    available = {name: max(0, guess.tokens - held[name]) for name, guess in guesses.items()}
    wanted = amounts.resolve({name: each.amount for name, each in spec.components.items()}, available)
    fixed = {name: tokens for name, tokens in wanted.items() if spec.components[name].tokens != "all"}
    epochs = {name: each.max_epochs for name, each in spec.components.items()}
    most = {name: amounts.Supply(max(0, guesses[name].most - held[name]), epochs[name]) for name in fixed}
    amounts.check(fixed, most)
    short = [name for name in fixed if fixed[name] > available[name] * epochs[name]]
    rows = tuple(_estimated_row(name, each, guesses[name], available[name], wanted[name], held[name])
                 for name, each in spec.components.items())  # fmt: skip
    notes = (
        "estimated from the curation manifest: the corpora are not tokenised yet",
        *_notes(spec, sum(wanted.values())),
    )
    if short:
        notes = (f"{', '.join(short)}: likely short of tokens", *notes)
    return Plan(
        f"mixture {spec.name}: about {sum(wanted.values()):,} tokens",
        (Table("components (estimated)", _COLUMNS, rows),),
        notes,
    )


def _estimated_row(
    name: str, component: ComponentSpec, guess: _Estimate, available: int, wanted: int, held: int
) -> tuple[object, ...]:
    repetitions = wanted / available if available else 0.0
    documents = round(guess.documents * min(1.0, repetitions))
    return (name, _requested(component), available, wanted, round(repetitions, 2), documents, None, held)


def _estimate(component: ComponentSpec, corpus: Corpus, tokenizer: TokenizerSpec, attribute: str | None) -> _Estimate:
    share = _passing_share(component, corpus, attribute)
    manifest = corpus.manifest
    documents = round(manifest["documents"] * share)
    tokens = round(manifest["characters"] * share / _characters_per_token(corpus, tokenizer)) + documents
    if share == 0:
        raise AmountError(f"where {component.where!r}: no document of a sample of corpus {corpus.name!r} passes")
    return _Estimate(documents, tokens, manifest["bytes"] + manifest["documents"])


def _characters_per_token(corpus: Corpus, tokenizer: TokenizerSpec) -> float:
    """Measured on the corpus's first documents for a tokenizer.json, else a rule of thumb for English."""
    if tokenizer.train_bpe is not None:
        # Fitted by eye to BPEs of 4,000 to 50,000 entries trained on English: 3.0 to 4.6 characters a token.
        return 1.2 + 0.45 * math.log2(tokenizer.train_bpe.vocab_size / 256)
    if tokenizer.file is None:
        return _CHARACTERS_PER_TOKEN
    encoder = Tokenizer.from_file(tokenizer.file)
    _, batch = next(batches(corpus.shards[0], ["text"], _ENCODED))
    texts = batch.column("text").to_pylist()
    tokens = sum(len(each) for each in encoder.encode_batch(texts, add_special_tokens=False))
    return sum(map(len, texts)) / max(1, tokens)


def _passing_share(component: ComponentSpec, corpus: Corpus, attribute: str | None) -> float:
    """Share of documents that pass `where`, from a sample over at most eight shards."""
    where = component.condition
    if where is None:
        return 1.0
    shards = [corpus.shards[i] for i in np.unique(np.linspace(0, len(corpus.shards) - 1, 8).astype(int))]
    columns = {*where_columns(where), *(["text", "spans"] if where.shares else [])} or {"id"}
    seen = passed = 0
    for shard in shards:
        for row, batch in batches(shard, sorted(columns), _SAMPLE // len(shards) + 1):
            mask = matches(where, batch, shard, row, guessed_shares(where, batch, attribute))
            seen, passed = seen + len(mask), passed + int(mask.sum())
            break
    return passed / seen if seen else 0.0


def _requested(component: ComponentSpec) -> str:
    if component.fraction_of_total is not None:
        return f"{component.fraction_of_total} of total"
    if component.fraction_of is not None:
        return " ".join(f"{ratio} of {other}" for other, ratio in component.fraction_of.items())
    return "all" if component.tokens == "all" else f"{component.tokens:,}"


def _notes(spec: MixtureSpec, total: int) -> tuple[str, ...]:
    samples = total // spec.sequence_length
    disk = total * _BYTES_PER_TOKEN / 1e6
    notes = (f"{samples:,} samples of {spec.sequence_length} tokens in an epoch; {disk:,.1f} MB on disk",)
    if spec.decontaminate is None:
        return notes
    return (*notes, f"documents that hold text of {', '.join(spec.decontaminate.against)} are left out")
