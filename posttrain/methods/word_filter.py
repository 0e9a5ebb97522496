"""A filter of words: every token that would complete a listed word or phrase loses `strength` nats.

What Gehman et al. 2020 (arXiv 2009.11462) compare as "word filter" forbids the words; a penalty of 50 nats does, and
leaves cross-entropy finite. The words are those of the text, not of the tokenizer: see
`posttrain.methods.word_automaton`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import fsspec
import torch

from infra.errors import InputError
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
        words = tuple(sorted({" ".join(word.split()) for word in (*args.words, *_lines(args.path))} - {""}))
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


def _lines(path: str | None) -> list[str]:
    """Words of a file; remarks and empty lines left out. Raises InputError where it cannot be read."""
    if path is None:
        return []
    try:
        with fsspec.open(path, "rt", encoding="utf-8", compression="infer") as file:
            lines: list[str] = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of words: {error}") from None
    return [line for line in lines if not line.startswith("#")]
