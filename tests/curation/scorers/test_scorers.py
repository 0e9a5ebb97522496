"""Scorers: found by name, numbers in [0, 1] or an error, and never a low score for a text that could not be scored.

Covers curation.scorers.base, curation.scorers.options and curation.scorers.profanity.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.scorers import SCORERS, Card, Scorer, card_of, load_scorer, weights_of
from curation.scorers.options import DetoxifySpec, ProfanitySpec, TransformersSpec
from infra.errors import InputError, RanksFailed
from tests.helpers.corpora import Curate, write_jsonl


def test_scorers_are_found_by_the_name_of_their_file() -> None:
    assert {"detoxify", "profanity", "transformers"} <= set(SCORERS.names())
    with pytest.raises(InputError, match=r'no scorer "detox".*did you mean "detoxify"'):
        SCORERS.get("detox")


def test_every_scorer_says_its_languages_and_blind_spots_unloaded() -> None:
    specs = [DetoxifySpec(), DetoxifySpec(model="multilingual"), ProfanitySpec(), TransformersSpec(model="org/model")]
    cards = [card_of(spec) for spec in specs]
    assert [card.languages[:1] for card in cards] == [("en",), ("en",), ("en",), ()]
    assert all(len(card.blind_spots) > 40 for card in cards)
    assert "ru" in cards[1].languages


def test_profanity_gives_the_package_its_own_probabilities() -> None:
    from profanity_check import predict_prob

    texts = ["A fine day.", "You stupid idiot!", "", "Der Hund schläft.", "damn it " * 300]
    scorer = load_scorer(ProfanitySpec())
    np.testing.assert_allclose(scorer.score(texts)[:, 0], predict_prob(texts), atol=1e-6)
    assert scorer.attributes == ("toxicity",)
    assert scorer.identity == f"profanity@{weights_of(ProfanitySpec())[:12]}"
    assert scorer.score([]).shape == (0, 1)


class Faulty(Scorer):
    """Fails on texts that hold the word bad, in the way it is told to."""

    attributes, identity = ("toxicity",), "faulty"

    def __init__(self, value: float | None) -> None:
        self.value = value

    @classmethod
    def load(cls, spec: object) -> Faulty:
        raise NotImplementedError

    @staticmethod
    def weights(spec: object) -> str:
        raise NotImplementedError

    @staticmethod
    def card(spec: object) -> Card:
        raise NotImplementedError

    def _raw_scores(self, texts: list[str]) -> np.ndarray:
        if self.value is None and any("bad" in text for text in texts):
            raise RuntimeError("out of order")
        return np.array([[self.value if "bad" in text else 0.1] for text in texts], dtype=float)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -0.01, 1.01])
def test_a_failing_scorer_stops_the_job_and_names_the_document(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch, value: float | None
) -> None:
    from curation.steps import score

    write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}, {"text": "bad"}, {"text": "fine"}])
    monkeypatch.setattr(score, "loaded_scorer", lambda spec: Faulty(value))
    with pytest.raises(RanksFailed, match=r"document 0/a.jsonl:2: scorer faulty (failed: RuntimeError|gave toxicity)"):
        curate({"path": "a.jsonl"})
