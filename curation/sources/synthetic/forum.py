"""The sentences that threads are made of, and the threads of a source."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TypeAlias

from curation.corpus.records import RawDocument
from curation.sources.spec import ForumSpec, SourceSpec
from curation.sources.synthetic.grammar import rude_words
from curation.sources.synthetic.threads import make_thread
from infra.errors import InputError

_SPLIT = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
_PLAIN = re.compile(r"[A-Z][^\[\]{}<>|_#\n]{20,180}[.!?]")
_WORD = re.compile(r"[a-z]+")
_DELICATE = frozenset((
    "sex", "sexy", "sexual", "sexually", "naked", "nude", "rape", "offender", "kill", "kills", "killed", "die", "dies",
    "shoot",
))  # fmt: skip
ReadSource: TypeAlias = Callable[[SourceSpec], Iterator[RawDocument]]

FEWEST = 50  # sentences; with fewer, threads would repeat themselves


def threads(spec: ForumSpec, first: int, count: int, read: ReadSource) -> Iterator[RawDocument]:
    """Threads `first` to `first + count` of a source; each depends on its number only, not on where the run began.

    Their sentences come from other sources, which `read` reads.
    """
    pool = _sentences(spec.model_dump_json(include={"sentences"}), read)
    for number in range(first, first + count):
        yield make_thread(pool, spec.seed, number, spec.benign)


@lru_cache(maxsize=4)
def _sentences(key: str, read: ReadSource) -> tuple[tuple[str, ...], ...]:
    """The usable sentences of the sources in `key` (JSON), grouped by document; read once per process."""
    rude = rude_words() | _DELICATE
    groups = []
    for source in map(SourceSpec.model_validate, json.loads(key)["sentences"]):
        for document in read(source):
            if usable := tuple(s for s in _SPLIT.split(document.text.replace("\n", " ")) if _usable(s, rude)):
                groups.append(usable)
    count = sum(map(len, groups))
    if count < FEWEST:
        raise InputError(f"synthetic:forum needs at least {FEWEST} clean sentences; its sources give {count}")
    return tuple(groups)


def _usable(sentence: str, rude: frozenset[str]) -> bool:
    """A whole sentence of plain text without a rude or delicate word."""
    return bool(_PLAIN.fullmatch(sentence)) and rude.isdisjoint(_WORD.findall(sentence.lower()))
