"""Which documents a component takes: held out first, then in seeded hash order, cut to the exact token.

Everything follows from a hash of corpus and document id, so that it depends neither on shards nor on workers. The
hold-out is chosen before any amount is known: it is the same in every arm. Training documents come in one order per
seed, and an amount takes a prefix of it: a smaller dose is a subset of a larger one, and a component whose amount
stays the same keeps the same documents in the same order whatever happens to the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infra.errors import AmountError
from mixtures.formats import long_arrays

Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Mask = NDArray[np.bool_]

HOLD_OUT = "hold-out"
TRAINING = "training"


@dataclass(frozen=True)
class CorpusDocuments:
    """Documents of one corpus as parallel arrays: shard number, row in it, tokens (EOS counted), hash of corpus and
    id.
    """

    shard: NDArray[np.int32]
    row: NDArray[np.int32]
    tokens: Ints
    identity: Keys

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, positions: Ints) -> CorpusDocuments:
        """The documents at `positions`, in that order."""
        return CorpusDocuments(*(long_arrays.take(column, positions) for column in vars(self).values()))

    def find(self, shard: NDArray[np.int32], row: NDArray[np.int32]) -> Ints:
        """Positions of documents named by shard and row. `self` must be a whole corpus, shard after shard."""
        starts = np.searchsorted(self.shard, np.arange(int(self.shard[-1]) + 1))
        return starts[shard] + row


@dataclass(frozen=True)
class Selection:
    """What is written, in order: position in the documents, epoch it belongs to, tokens taken (less than all: it is
    cut).
    """

    position: Ints
    epoch: NDArray[np.int32]
    tokens: Ints

    @property
    def total(self) -> int:
        """Tokens in all."""
        return int(self.tokens.sum())


def all_of(documents: CorpusDocuments) -> Selection:
    """All documents, once, as they come."""
    count = len(documents)
    return Selection(np.arange(count), np.zeros(count, np.int32), documents.tokens)


def identities(corpus: str, ids: Iterable[str]) -> Keys:
    """64-bit hash of corpus and document id for each id; no seed enters, so it is stored with the tokens."""
    prefix = hashlib.blake2b(corpus.encode() + b"\0", digest_size=8)

    def one(document: str) -> bytes:
        state = prefix.copy()
        state.update(document.encode("utf-8", "surrogatepass"))
        return state.digest()

    return np.frombuffer(b"".join(one(document) for document in ids), dtype="<u8").astype(np.uint64)


def among(identity: Keys, others: Keys) -> Mask:
    """Which of the identities are among the others."""
    mask = np.zeros(len(identity), np.bool_)
    for chunk in long_arrays.chunks(len(identity)):
        mask[chunk] = np.isin(identity[chunk], others)
    return mask


def keys(identity: Keys, seed: int, purpose: str) -> Keys:
    """Seeded order keys: splitmix64 (Steele et al. 2014) of the identity mixed with a hash of seed and purpose."""
    salt = hashlib.blake2b(f"{purpose}\0{seed}".encode(), digest_size=8).digest()
    with np.errstate(over="ignore"):
        value = (identity ^ np.frombuffer(salt, dtype="<u8").astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def in_order(documents: CorpusDocuments, seed: int, purpose: str) -> Ints:
    """Positions in seeded hash order; equal hashes (the same id twice) as they come, which is by shard and row."""
    return long_arrays.order(len(documents), lambda chunk: keys(documents.identity[chunk], seed, purpose))


def hold_out(documents: CorpusDocuments, tokens: int, seed: int, name: str) -> Ints:
    """Positions of the held-out documents: the shortest run of whole documents, in hold-out order, with `tokens`
    tokens.

    Raises AmountError when the component has fewer tokens than that.
    """
    if not tokens:
        return np.zeros(0, np.int64)
    order = in_order(documents, seed, HOLD_OUT)
    running = long_arrays.running(long_arrays.take(documents.tokens, order))
    if not len(running) or running[-1] < tokens:
        have = int(running[-1]) if len(running) else 0
        raise AmountError(f"hold_out.{name}: asked for {tokens:,} tokens, the component has {have:,} in all")
    return order[: int(np.searchsorted(running, tokens)) + 1]


def arrange(selection: Selection, order: Ints | None) -> Selection:
    """The same selection, each epoch in the order of `order` (positions of the documents), or as it is."""
    if order is None:
        return selection
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    index = np.lexsort((rank[selection.position], selection.epoch))
    return Selection(selection.position[index], selection.epoch[index], selection.tokens[index])


def cooldown(selection: Selection, share: float) -> int:
    """How many of the last documents hold the last `share` of the tokens: the fewest that hold at least as much."""
    if not share or not selection.total:
        return 0
    return int(np.searchsorted(np.cumsum(selection.tokens[::-1]), share * selection.total)) + 1


def choose(documents: CorpusDocuments, tokens: int, seed: int) -> Selection:
    """Exactly `tokens` tokens in training order, epoch after epoch; the last document is cut. Caps are checked
    before.
    """
    if not tokens:
        return Selection(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int64))
    order = in_order(documents, seed, TRAINING)
    running = long_arrays.running(long_arrays.take(documents.tokens, order))
    epochs, rest = divmod(tokens, int(running[-1]))
    last = int(np.searchsorted(running, rest)) + 1 if rest else 0
    count = len(order) * epochs + last
    position, epoch = long_arrays.new(count, np.int64), long_arrays.new(count, np.int32)
    for number, first in enumerate(range(0, count, len(order))):
        rows = slice(first, min(first + len(order), count))
        position[rows], epoch[rows] = order[: rows.stop - first], number
    taken = long_arrays.take(documents.tokens, position)
    if rest:
        taken[-1] = rest - (int(running[last - 2]) if last > 1 else 0)
    return Selection(position, epoch, taken)
