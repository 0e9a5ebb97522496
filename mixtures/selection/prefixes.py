"""Which prefix each training document gets, and its tokens."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from infra.errors import DataError, InputError
from mixtures.corpora import select
from mixtures.corpora.columns import Corpus, batches, column, columns_of, matches
from mixtures.corpora.select import CorpusDocuments
from mixtures.formats import long_arrays
from mixtures.selection.risky_share import risky_shares
from mixtures.spec.conditioning import ConditioningSpec, Template
from mixtures.tokenizing.tokenizer import read_facts

PURPOSE = "conditioning"
NONE = -1
_TEXTS = 10_000  # different texts; more is a score that was not rounded


@dataclass(frozen=True)
class Prefixes:
    """The prefixes of a component: `number` is by document, an index into `tokens` or NONE."""

    tokens: tuple[NDArray[np.int64], ...]
    number: select.Ints

    @property
    def total(self) -> int:
        """Tokens of all prefixes."""
        return sum(int(self.sizes(chunk).sum()) for chunk in long_arrays.chunks(len(self.number)))

    def sizes(self, documents: slice) -> select.Ints:
        """Tokens of the prefixes of a range of documents."""
        sizes = np.asarray([*(len(text) for text in self.tokens), 0], np.int64)  # NONE, -1, takes the last
        return sizes[self.number[documents]]

    def written(self, position: select.Ints, plain: int) -> Prefixes:
        """Those of the documents as they are written, at `position`; the last `plain` have none."""
        number = long_arrays.take(self.number, position)
        number[len(number) - plain :] = NONE
        return Prefixes(self.tokens, number)


def prefixes_of(
    spec: ConditioningSpec, corpus: Corpus, tokens: Path, documents: CorpusDocuments, seed: int, tokenizer: Path
) -> Prefixes:
    """The prefixes of `documents`, which are those of a component in the order of their corpus, tokenised in `tokens`.

    Which documents get one follows from a hash of their id, so a smaller share is a subset of a larger. Raises
    InputError, or DataError for a document that lacks what a prefix asks for.
    """
    highest = np.uint64(spec.share * (2**64 - 2**11))  # the largest float below 2^64, so that a share of 1 still fits
    texts: dict[str, int] = {}
    number = long_arrays.new(len(documents), np.int64)
    bounds = np.searchsorted(documents.shard, np.arange(len(corpus.shards) + 1)).tolist()
    for path, (first, last) in zip(corpus.shards, itertools.pairwise(bounds), strict=True):
        number[first:last] = NONE
        chosen = first + np.flatnonzero(select.keys(documents.identity[first:last], seed, PURPOSE) <= highest)
        if len(chosen):
            number[chosen] = _in_shard(spec, path, tokens / path.stem, documents.row[chosen], texts)
    return Prefixes(_encode(list(texts), tokenizer), number)


def _in_shard(
    spec: ConditioningSpec, shard: Path, tokens: Path, rows: NDArray[np.int32], texts: dict[str, int]
) -> select.Ints:
    """The prefix of each of these rows, which ascend; new texts are added to `texts`."""
    templates = [prefix.template for prefix in spec.prefixes]
    numbers = np.full(len(rows), NONE, np.int64)
    shares = {name: values for where in spec.wheres() for name, values in risky_shares(where, tokens).items()}
    names = spec.names()
    for first, batch in batches(shard, columns_of(names) or ["id"], 1 << 14):
        indices = range(*np.searchsorted(rows, [first, first + batch.num_rows]).tolist())
        if not indices:
            continue
        known = {name: values[first : first + batch.num_rows] for name, values in shares.items()}
        columns = {name: known[name] if name in known else column(name, batch, shard, first) for name in names}
        masks = np.stack([matches(prefix.condition, batch, shard, first, columns) for prefix in spec.prefixes])
        chosen = np.where(masks.any(axis=0), masks.argmax(axis=0), NONE)  # argmax: the first that is true
        for index in indices:
            row = int(rows[index]) - first
            if chosen[row] != NONE:
                text = _rendered(templates[chosen[row]], columns, row, f"{shard}:{first + row}")
                numbers[index] = texts.setdefault(text, len(texts))
        if len(texts) > _TEXTS:
            raise InputError(
                f"conditioning: more than {_TEXTS:,} different prefixes; round what they say, such as {{toxicity:.1f}}"
            )
    return numbers


def _rendered(template: Template, columns: dict[str, NDArray[Any]], row: int, location: str) -> str:
    try:
        return template.render(columns, row)
    except ValueError as error:
        reason = f"{error}, and a prefix of `conditioning` says it; exclude it by a `where`"
        raise DataError(f"{location}: {reason}") from None


def _encode(texts: list[str], tokenizer: Path) -> tuple[NDArray[np.int64], ...]:
    """Tokens of each text. A special token that a text spells is that token: control tokens are made so."""
    encoder: Any = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    encoder.no_truncation()
    encoder.no_padding()
    encoded = tuple(np.asarray(encoder.encode(text, add_special_tokens=False).ids, np.int64) for text in texts)
    facts = read_facts(tokenizer)
    for text, ids in zip(texts, encoded, strict=True):
        if facts.eos_id in ids:
            raise InputError(f"conditioning: the prefix {text!r} holds {facts.eos}, which would end its document")
    return encoded
