"""How many tokens a component probably has, from sums alone: the manifest of its corpus, and the counts of the corpus's
tokens artifact where there is one.

A `where` over one score and the source is answered by the manifest's histograms. What they do not tell (other
attributes, metadata, a combination of scores) is looked up in a sample of the documents.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from curation.corpus.risk_levels import THRESHOLDS, SourceRisk
from curation.corpus.where import Where
from infra.errors import AmountError, gathered
from mixtures.corpora.columns import Corpus, CorpusManifest, batches, matches, where_columns
from mixtures.selection.risky_share import guessed_shares
from mixtures.spec import amounts
from mixtures.spec.mixture import MixtureSpec, TokenizerSpec

_CHARACTERS_PER_TOKEN = 4.2  # English under a byte-level BPE of about 50,000 entries
_SAMPLE = 2000  # documents of a corpus that are looked at for a `where`
_ENCODED = 200  # documents that are tokenised
_FINE = 64  # scores that stand for a bin of a histogram


@dataclass(frozen=True)
class Stock:
    """What a component probably has, its hold-out counted, and for certain no more than `limit` tokens; `risky` are
    shares of tokens that reach each of curation's thresholds, in the whole corpus.
    """

    documents: int
    tokens: int
    limit: int
    risky: tuple[float, ...] | None


@dataclass(frozen=True)
class Counts:
    """What was counted of a corpus; `levels` are the tokens that reach each of curation's thresholds, if known."""

    documents: int
    tokens: int
    levels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _Crowd:
    """Documents as a manifest tells of them: columns for `where`, and for each row documents and characters."""

    columns: dict[str, NDArray[Any]]
    documents: NDArray[np.float64]
    characters: NDArray[np.float64]


def stock(name: str, spec: MixtureSpec, corpus: Corpus, counts: Counts | None) -> Stock:
    """The stock of component `name`; `counts` are those of its corpus, where it was tokenised. Raises AmountError where
    no document passes.
    """
    component, manifest = spec.components[name], corpus.manifest
    documents, characters = _passing(component.condition, corpus, spec.risk)
    if not documents:
        raise AmountError(
            f"components.{name}.where: {component.where!r}: no document of corpus {corpus.name!r} passes, or hardly any"
        )
    if counts is None:
        rate = 1 / _characters_per_token(corpus, spec.tokenizer)
        limit = manifest.bytes + manifest.documents  # a token is at least one byte
    else:
        rate = (counts.tokens - counts.documents) / max(1, manifest.characters)
        limit = counts.tokens
    tokens = round(manifest.characters * characters * rate + manifest.documents * documents)
    return Stock(round(manifest.documents * documents), tokens, limit, _risky(corpus, spec.risk, counts))


def amounts_of(spec: MixtureSpec, stocks: Mapping[str, Stock]) -> tuple[dict[str, int], list[str]]:
    """Tokens that every component takes, and the names of those that will probably be short.

    Raises one AmountError for all shortages that are certain.
    """
    held = {name: spec.hold_out.get(name, 0) for name in stocks}
    available = {name: max(0, stock.tokens - held[name]) for name, stock in stocks.items()}
    asked = {name: component.amount for name, component in spec.components.items()}
    requested = amounts.resolve(asked, available)
    amounts.refuse_nothing(asked, available, requested)
    fixed = {name: tokens for name, tokens in requested.items() if spec.components[name].tokens != "all"}
    epochs = {name: component.max_epochs for name, component in spec.components.items()}
    problems = [f"hold_out.{name}: asked for {held[name]:,} tokens, and there are {stocks[name].limit:,} at most"
                for name in stocks if held[name] > stocks[name].limit]  # fmt: skip
    with gathered(problems):
        amounts.check(
            fixed, {name: amounts.Supply(max(0, stocks[name].limit - held[name]), epochs[name]) for name in fixed}
        )
    if problems:
        raise AmountError("\n".join(problems))
    return requested, [name for name in fixed if fixed[name] > available[name] * epochs[name]]


def _risky(corpus: Corpus, attribute: str | None, counts: Counts | None) -> tuple[float, ...] | None:
    """Shares of tokens at each threshold: counted, or those of the words, which the manifest has."""
    if attribute is None:
        return None
    if counts is not None and counts.levels is not None:
        return tuple(reached / max(1, counts.tokens) for reached in counts.levels)
    sources = list((corpus.manifest.sources or {}).values())
    if not sources:
        return None
    words = max(1, sum(source.words for source in sources))
    by_source = (source.at_or_above(attribute, "words") for source in sources)
    return tuple(sum(reached) / words for reached in zip(*by_source, strict=True))


def _passing(where: Where | None, corpus: Corpus, attribute: str | None) -> tuple[float, float]:
    """Shares of a corpus's documents and of its characters that pass `where`."""
    if where is None:
        return 1.0, 1.0
    crowd = _crowd(where, corpus.manifest)
    if crowd is None:
        share = _sampled(where, corpus, attribute)
        return share, share
    passed = where.evaluate(crowd.columns, len(crowd.documents))
    return (float(crowd.documents[passed].sum() / crowd.documents.sum()),
            float(crowd.characters[passed].sum() / max(1.0, crowd.characters.sum())))  # fmt: skip


def _crowd(where: Where, manifest: CorpusManifest) -> _Crowd | None:
    """The documents as far as `where` must know them; None where the manifest does not tell."""
    scores = sorted(where.names - {"source"})
    histogram = manifest.histogram or {}
    if len(scores) > 1 or not set(scores) <= histogram.keys():
        return None
    if "source" not in where.names:
        bins = histogram[scores[0]] if scores else [manifest.documents]
        score, documents = _spread(bins, np.linspace(0, 1, len(bins) + 1))
        return _Crowd(dict.fromkeys(scores, score), documents, documents)
    return None if manifest.sources is None else _by_source(scores, manifest.sources)


def _by_source(scores: list[str], sources: Mapping[str, SourceRisk]) -> _Crowd:
    """Each source's documents by the thresholds that their score reaches."""
    edges = np.asarray([0.0, *THRESHOLDS, 1.0])
    names, values, documents, characters = [], [], [], []
    for name, source in sources.items():
        levels = source.levels[scores[0]].documents if scores and scores[0] in source.levels else [source.documents]
        score, weight = _spread(levels, edges if len(levels) > 1 else np.asarray([0.0, 1.0]))
        names.append(np.full(len(weight), name, object))
        values.append(score)
        documents.append(weight)
        characters.append(weight * (source.characters / max(1, source.documents)))
    columns = {"source": np.concatenate(names), **dict.fromkeys(scores, np.concatenate(values))}
    return _Crowd(columns, np.concatenate(documents), np.concatenate(characters))


def _spread(counts: list[int], edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores that stand for bins between `edges`, evenly spread over each, and how many documents each stands for."""
    steps = (np.arange(_FINE) + 0.5) / _FINE
    scores = [low + steps * (high - low) for low, high in pairwise(edges)]
    return np.concatenate(scores), np.repeat(np.asarray(counts, np.float64) / _FINE, _FINE)


def _sampled(where: Where, corpus: Corpus, attribute: str | None) -> float:
    """Share of documents that pass, in a sample over at most eight shards."""
    if not corpus.shards:  # Megatron files, which are not imported yet
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


def _characters_per_token(corpus: Corpus, tokenizer: TokenizerSpec) -> float:
    """Measured on the corpus's first documents for a tokenizer.json, else a rule of thumb for English."""
    if tokenizer.train_bpe is not None:
        # Fitted by eye to BPEs of 4,000 to 50,000 entries trained on English: 3.0 to 4.6 characters a token.
        return 1.2 + 0.45 * math.log2(tokenizer.train_bpe.vocab_size / 256)
    if tokenizer.file is None:
        return _CHARACTERS_PER_TOKEN
    _, batch = next(batches(corpus.shards[0], ["text"], _ENCODED))
    texts = batch.column("text").to_pylist()
    encodings = _tokenizer(tokenizer.file).encode_batch(texts, add_special_tokens=False)
    return sum(map(len, texts)) / max(1, sum(map(len, encodings)))


@lru_cache(1)
def _tokenizer(file: str) -> Any:
    tokenizer = Tokenizer.from_file(file)
    tokenizer.no_truncation()  # as the tokens stage does; a file may carry its model's greatest length
    tokenizer.no_padding()
    return tokenizer
