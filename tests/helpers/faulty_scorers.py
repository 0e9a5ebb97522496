"""Scorers that fail on some texts, as real ones do, each in its own way."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from curation.scorers.base import Card, Scorer
from curation.scorers.options import ScorerSpec

FAULTS = ("nan", "inf", "-inf", "above", "below", "raises", "few")
"""What is wrong with the scores of a text that holds the word."""
WRONG = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "above": 1.01, "below": -0.01}


class Faulty(Scorer):
    """Half the length of a text over 100, unless a word of it says otherwise."""

    options = ScorerSpec
    attributes = ("toxicity",)
    identity = "faulty@1"

    @classmethod
    def load(cls, spec: Any = None) -> Faulty:
        return cls()

    @classmethod
    def weights(cls, spec: Any) -> str:
        return "1"

    @staticmethod
    def card(spec: Any) -> Card:
        return Card(("en",), "none")

    def _raw_scores(self, texts: list[str]) -> np.ndarray:
        words = [set(text.split()) for text in texts]
        if any("raises" in word for word in words):
            raise RuntimeError("cannot read this")
        if any("hangs" in word for word in words):
            time.sleep(600)
        if any("dies" in word for word in words):
            os._exit(1)
        scores = [next((WRONG[word] for word in WRONG if word in its), len(text) / 200)
                  for text, its in zip(texts, words, strict=True)]  # fmt: skip
        few = any("few" in word for word in words)
        return np.array(scores[:-1] if few else scores, np.float32)[:, None]
