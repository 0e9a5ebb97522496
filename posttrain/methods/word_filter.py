"""A filter of words: every token that would complete a listed word or phrase loses `strength` nats.

What Gehman et al. 2020 (arXiv 2009.11462) compare as "word filter" forbids the words; a penalty of 50 nats does, and
leaves cross-entropy finite. The words are those of the text, not of the tokenizer: see
`posttrain.methods.word_automaton`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from infra.errors import InputError
from infra.files.word_lists import listed_words
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.options import WordFilterArgs
from posttrain.methods.token_texts import token_texts
from posttrain.methods.word_automaton import WordAutomaton
from posttrain.model import CausalModel


class WordFilter(Method):
    """Takes `strength` nats off what would complete a listed word."""

    args = WordFilterArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        args = fitted.args
        assert isinstance(args, WordFilterArgs)
        self.penalty = strength
        self.automaton = _automaton(model.tokenizer, args.words, args.case == "ignored", args.whole_words, model.device)

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: WordFilterArgs, seed: int) -> Fitted:
        """Reads the file of words, so that the fit holds them all. Raises InputError for none."""
        given = (*args.words, *(listed_words(args.path) if args.path else ()))
        words = tuple(sorted({" ".join(word.split()) for word in given} - {""}))
        if not words:
            raise InputError(f"word_filter: {args.path or 'words'}: no word is listed")
        return Fitted.of(model, args.model_copy(update={"words": words, "path": None}), {},
                         FitFacts(listed_words=len(words)))  # fmt: skip


@lru_cache(maxsize=4)
def _automaton(
    tokenizer: Any, words: tuple[str, ...], ignore_case: bool, whole_words: bool, device: torch.device
) -> WordAutomaton:
    """One for all strengths: what it has met of states stays."""
    return WordAutomaton(words, token_texts(tokenizer), ignore_case, whole_words, device)
