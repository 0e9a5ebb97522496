"""Which tokens would complete a listed word, given what has been written: an automaton over the decoded text.

Its states are what a listed word may have begun with, so a word is met however a tokenizer cuts it. States and their
tokens are made when they are first met: a text visits few of them.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from posttrain.methods.token_texts import TokenTexts

_SEPARATOR = "\0"
_ROOT = 0
_SPACES = re.compile(r"\s+")
_DECODER = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True)
class Reading:
    """A state: `nodes` of the trie of words that the text may be in, the `last` character ("" before the first), and
    the bytes of a character that is not whole yet.
    """

    nodes: frozenset[int] = frozenset()
    last: str = ""
    pending: bytes = b""


class WordAutomaton:
    """Follows a text token by token; see `posttrain.methods.base.TokenAutomaton`.

    `words` hold no line ends and no white space at their ends; with `whole_words` one counts where it stands between
    characters that are no part of words, or ends its token.
    """

    start = 0

    def __init__(
        self, words: Iterable[str], tokens: TokenTexts, ignore_case: bool, whole_words: bool, device: torch.device
    ) -> None:
        self.ignore_case, self.whole_words, self.device = ignore_case, whole_words, device
        self.words = sorted({self._normal(word).strip() for word in words})
        self.children: list[dict[str, int]] = [{}]
        self.ends: set[int] = set()
        for word in self.words:
            self.ends.add(self._insert(word))
        self.pieces = tokens.pieces
        self.texts = [self._normal(text) for text in tokens.texts]
        self.sorted = sorted((text, token) for token, text in enumerate(self.texts) if text)
        self.inside, self.at_start = self._complete_in_themselves()
        self.states: list[Reading] = [Reading()]
        self.numbers = {self.states[0]: 0}
        self.steps: list[dict[int, int]] = [{}]
        self.tensors: dict[int, torch.Tensor] = {}

    def step(self, state: int, token: int) -> int:
        """The state after one more token."""
        after = self.steps[state].get(token)
        if after is None:
            after = self.steps[state][token] = self._number(self._read(self.states[state], token)[0])
        return after

    def penalised(self, state: int) -> torch.Tensor:
        """Ids of the tokens that complete a word, ascending."""
        if state not in self.tensors:
            tokens = sorted(self._completing(self.states[state]))
            self.tensors[state] = torch.tensor(tokens, dtype=torch.long, device=self.device)
        return self.tensors[state]

    def _normal(self, text: str) -> str:
        """One space for any white space, and case folded: character by character, as tokens may split a word anywhere,
        which lower case is not.
        """
        text = _SPACES.sub(" ", text)
        return text.casefold() if self.ignore_case else text

    def _insert(self, word: str) -> int:
        node = _ROOT
        for character in word:
            if character not in self.children[node]:
                self.children[node][character] = len(self.children)
                self.children.append({})
            node = self.children[node][character]
        return node

    def _number(self, reading: Reading) -> int:
        if reading not in self.numbers:
            self.numbers[reading] = len(self.states)
            self.states.append(reading)
            self.steps.append({})
        return self.numbers[reading]

    def _read(self, reading: Reading, token: int) -> tuple[Reading, bool]:
        """The state after a token, and whether it completes a word."""
        text, pending = self.texts[token] if token < len(self.texts) else "", reading.pending
        if pending or token in self.pieces:
            decoder = _DECODER("replace")
            text = self._normal(decoder.decode(pending + self.pieces.get(token, text.encode())))
            pending = decoder.getstate()[0]
        nodes, last, completes, ended = reading.nodes, reading.last, False, False
        for character in text:
            if character == last == " ":
                continue
            completes |= ended and self._bounds(last, character)
            nodes = self._after(nodes, last, character)
            ended, last = not self.ends.isdisjoint(nodes), character
        return Reading(nodes, last, pending), completes or ended

    def _after(self, nodes: frozenset[int], last: str, character: str) -> frozenset[int]:
        begun = [_ROOT] if self._bounds(last, character) else []
        return frozenset(
            self.children[node][character] for node in (*nodes, *begun) if character in self.children[node]
        )

    def _bounds(self, before: str, after: str) -> bool:
        """Whether a listed word may begin or end between two characters ("" at the end of a text)."""
        return not (self.whole_words and in_words(before) and in_words(after))

    def _completing(self, reading: Reading) -> set[int]:
        tokens = {token for token in self.pieces if self._read(reading, token)[1]}
        if reading.pending:  # a character that stays in pieces belongs to no word
            reading = Reading(last="\ufffd")
        tokens.update(self.inside)
        if self._bounds(reading.last, "a"):
            tokens.update(self.at_start)
        for node in reading.nodes:
            for rest in self._rests(node):
                tokens.update(self._beginning_with(rest))
                if reading.last == " ":
                    tokens.update(self._beginning_with(f" {rest}"))
        return tokens

    def _rests(self, node: int) -> Iterator[str]:
        """What completes a word below a node of the trie."""
        for character, child in self.children[node].items():
            if child in self.ends:
                yield character
            for rest in self._rests(child):
                yield character + rest

    def _beginning_with(self, rest: str) -> Iterator[int]:
        """Tokens that begin with the rest of a word and go on, if at all, behind a boundary."""
        for index in range(bisect_left(self.sorted, (rest, -1)), len(self.sorted)):
            text, token = self.sorted[index]
            if not text.startswith(rest):
                return
            if self._bounds(rest[-1], text[len(rest) : len(rest) + 1]):
                yield token

    def _complete_in_themselves(self) -> tuple[set[int], set[int]]:
        """Tokens that hold a whole listed word, whatever stands before them; and those that begin with one, which must
        stand behind a boundary.
        """
        joined = _SEPARATOR + _SEPARATOR.join(self.texts) + _SEPARATOR
        first = np.cumsum([1, *(len(text) + 1 for text in self.texts)])
        inside: set[int] = set()
        at_start: set[int] = set()
        for word in self.words:
            position = joined.find(word)
            while position >= 0:
                before, after = joined[position - 1], joined[position + len(word)]
                if self._bounds(word[-1], after):
                    unknown = before == _SEPARATOR and self.whole_words and in_words(word[0])
                    if unknown or self._bounds(before, word[0]):
                        token = int(np.searchsorted(first, position, side="right")) - 1
                        (at_start if unknown else inside).add(token)
                position = joined.find(word, position + 1)
        return inside, at_start


@cache
def in_words(character: str) -> bool:
    """Whether a character is part of words: letters, digits, the underscore, and marks that combine with letters."""
    return bool(character) and (character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M")
