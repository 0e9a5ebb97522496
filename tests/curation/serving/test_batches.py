"""Requests that come together are scored together, and get what each would have got alone.

Covers curation.serving.batches and curation.serving.tally.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from curation.filter.text_scoring import ScoredText, TextScoring, prepare_scoring
from curation.serving.batches import Batches
from curation.serving.tally import Tally
from tests.helpers.servers import obedient_scoring


def together(scoring: TextScoring, texts: Sequence[str], spans: Sequence[bool]) -> tuple[list[Any], Batches]:
    async def run() -> tuple[list[Any], Batches]:
        batches = Batches(scoring, lambda: len(texts))
        running = asyncio.create_task(batches.run())
        asked = (batches.score(text, with_spans) for text, with_spans in zip(texts, spans, strict=True))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        running.cancel()
        return answers, batches

    return asyncio.run(run())


def test_texts_of_a_transformer_get_the_same_scores_as_alone(classifier_folder: Path) -> None:
    section = f'{{name: transformers, model: org/tiny, folder: "{classifier_folder}", precision: float32}}'
    scoring = prepare_scoring(section, True, False, "words", "insult", 200)
    texts = [f"{'you idiot ' * (number % 7)}fine day {number}" for number in range(40)]
    spans = [number % 3 == 0 for number in range(40)]
    answers, batches = together(scoring, texts, spans)
    assert batches.texts == 40 and batches.count == 1
    for text, with_spans, answer in zip(texts, spans, answers, strict=True):
        (alone,) = scoring.score([text], with_spans)
        assert answer.scores == pytest.approx(alone.scores, abs=1e-4) and (answer.tagged is not None) is with_spans
        shown, expected = (scoring.shown(text, one.tagged or [], "insult") for one in (answer, alone))
        assert [(span.start, span.end) for span in shown] == [(span.start, span.end) for span in expected]


def test_a_batch_is_no_larger_than_the_scorer_likes() -> None:
    scoring = obedient_scoring()
    assert scoring.scorer is not None
    scoring.scorer.documents_together = 8
    answers, batches = together(scoring, ["fine"] * 20, [False] * 20)
    assert batches.count == 3 and {answer.scores["toxicity"] for answer in answers} == {0.25}


def test_texts_that_fail_are_told_from_those_that_do_not() -> None:
    texts = ["raise a" if number in (3, 4, 11) else f"sleep 0 0.{number + 10}" for number in range(16)]
    answers, _ = together(obedient_scoring(), texts, [False] * 16)
    assert [number for number, answer in enumerate(answers) if not isinstance(answer, ScoredText)] == [3, 4, 11]
    assert answers[5].scores["toxicity"] == pytest.approx(0.15)


def test_a_line_of_counts_and_times_begins_anew_and_is_empty_where_nothing_was() -> None:
    _, batches = together(obedient_scoring(), ["fine"] * 4, [False] * 4)
    tally = Tally(batches)
    tally.seconds += [0.001, 0.002, 0.003, 1.0]
    tally.refused.update(["COMMENT_EMPTY", "COMMENT_EMPTY", "UNAVAILABLE"])
    assert tally.line() == (
        "4 answered; median 2.5 ms; 99 % within 970.1 ms; 4.0 texts a batch; 3 refused (2 COMMENT_EMPTY, 1 UNAVAILABLE)"
    )
    assert tally.line() == ""
