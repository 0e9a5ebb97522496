"""benchmarks/scoring/document_quality.py: what chooses the ensemble's weights never judges it."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest

from tests.helpers import ROOT


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "scoring"))
    return importlib.import_module("document_quality")


def test_texts_that_choose_weights_and_texts_that_judge_are_apart_in_all_sources(quality: ModuleType) -> None:
    rows = [(f"text {number}", number % 2 == 0) for number in range(400)]
    chosen_on, judged_on = quality.halves({"one": rows, "other": rows[:200]})
    first, second = ({text for texts in sets.values() for text, _ in texts} for sets in (chosen_on, judged_on))
    assert first.isdisjoint(second) and len(first | second) == 400 and 150 < len(first) < 250
    trained_on = {text for text, toxic in rows if not quality.held_out((text, toxic))}
    held = {text for text, toxic in rows if quality.held_out((text, toxic))}
    assert trained_on.isdisjoint(held) and held


def test_the_chosen_weights_are_those_of_the_member_that_tells_texts_apart(quality: ModuleType) -> None:
    truth = {"one": np.array([True, False] * 50)}
    random = np.random.default_rng(0)
    noise = {name: {"one": random.uniform(size=100)} for name in ("fasttext", "profanity")}
    given = {"linear": {"one": truth["one"] * 0.2 + 0.4}, **noise}
    weights = quality.chosen_weights(given, truth)
    assert weights[0] == max(weights) and quality.area(truth["one"], quality.mean_of(given, weights)["one"]).value > 0.9
    assert quality.mean_of(given, (3, 0, 0))["one"] == pytest.approx(given["linear"]["one"])
