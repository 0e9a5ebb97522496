"""What is asked of a text, in Perspective's names, and the answer."""

from __future__ import annotations

from typing import Any

import pytest

from curation.corpus.records import Span
from curation.filter.text_scoring import ScoredText, TextScoring
from curation.serving.analyzer import Analyzer
from curation.serving.messages import AnalyzeRequest, Refusal
from infra.errors import InputError
from tests.helpers.servers import Obedient, obedient_scoring

SCORES = {"toxicity": 0.75, "sexual_explicit": 0.25}


def analyzer(*attributes: str, languages: tuple[str, ...] = ("en",)) -> Analyzer:
    scorer = Obedient()
    scorer.attributes = attributes or Obedient.attributes
    return Analyzer(TextScoring(scorer, None, "toxicity", 200, 0.5, languages), 100)


def request(text: str = "you idiot", attributes: Any = None, **fields: Any) -> AnalyzeRequest:
    chosen = attributes or {"TOXICITY": {}}
    return AnalyzeRequest.model_validate({"comment": {"text": text}, "requestedAttributes": chosen, **fields})


def answered(one: AnalyzeRequest, tagged: list[Span] | None = None, unscored: str = "") -> Any:
    answers = analyzer()
    return answers.answer(answers.asked(one), ScoredText(SCORES, unscored, tagged))


def test_attributes_are_in_capitals_and_jigsaws_names_also_perspectives() -> None:
    names = analyzer("severe_toxicity", "sexual_explicit", "hate/threat").names
    assert names == {"SEVERE_TOXICITY": "severe_toxicity", "SEXUAL_EXPLICIT": "sexual_explicit",
                     "SEXUALLY_EXPLICIT": "sexual_explicit", "HATE_THREAT": "hate/threat"}  # fmt: skip
    with pytest.raises(InputError, match="attributes hate/threat and hate_threat would both be called HATE_THREAT"):
        analyzer("hate/threat", "hate_threat")


def test_an_answer_has_the_names_that_were_asked_for() -> None:
    scores = answered(request(attributes={"SEXUALLY_EXPLICIT": {}, "TOXICITY": None}))["attributeScores"]
    values = {name: one["summaryScore"]["value"] for name, one in scores.items()}
    assert values == {"SEXUALLY_EXPLICIT": 0.25, "TOXICITY": 0.75}


def test_scores_below_a_threshold_are_left_out() -> None:
    attributes = {"TOXICITY": {"scoreThreshold": 0.75}, "SEXUALLY_EXPLICIT": {"scoreThreshold": 0.5}}
    assert answered(request(attributes=attributes))["attributeScores"].keys() == {"TOXICITY"}
    asked = request("damn the idiot", {"TOXICITY": {"scoreThreshold": 0.8}}, spanAnnotations=True)
    tagged = [Span(0, 4, "toxicity", 0.7), Span(9, 14, "toxicity", 0.9)]
    one = answered(asked, tagged)["attributeScores"]["TOXICITY"]
    assert "summaryScore" not in one and [(span["begin"], span["end"]) for span in one["spanScores"]] == [(9, 14)]


def test_spans_of_a_text_without_risky_words_are_none() -> None:
    asked = request(spanAnnotations=True)
    assert answered(asked, [])["attributeScores"]["TOXICITY"]["spanScores"] == []
    assert answered(asked, None)["attributeScores"]["TOXICITY"]["spanScores"] == []


@pytest.mark.parametrize("kind", ["RAW", "STD_DEV_SCORE", "PERCENTILE"])
def test_other_scores_than_probabilities_are_refused(kind: str) -> None:
    with pytest.raises(Refusal, match=f"Requested score type {kind} is not supported by attribute TOXICITY"):
        analyzer().asked(request(attributes={"TOXICITY": {"scoreType": kind}}))


def test_html_and_two_contexts_are_refused() -> None:
    with pytest.raises(Refusal, match="only 'PLAIN_TEXT' comments"):
        analyzer().asked(request(comment={"text": "<b>a</b>", "type": "HTML"}))
    context = {"entries": [{"text": "a"}], "articleAndParentComment": {"article": {"text": "b"}}}
    with pytest.raises(Refusal, match="both fields were populated"):
        analyzer().asked(request(context=context))


def test_languages_are_mirrored_and_must_all_be_the_scorers() -> None:
    assert answered(request(languages=["en-US"]))["languages"] == ["en-US"]
    with pytest.raises(Refusal) as refused:
        analyzer().asked(request(languages=["en", "de", "FR-ca"]))
    assert refused.value.message == "Attribute TOXICITY does not support request languages: de, FR-ca"
    assert refused.value.details[0]["languageNotSupportedByAttributeError"] == {
        "attribute": "TOXICITY", "requestedLanguages": ["de", "FR-ca"],
    }  # fmt: skip
    dropped = request(languages=["de"], dropUnsupportedAttributes=True)
    assert answered(dropped) == {"attributeScores": {}, "languages": ["de"], "detectedLanguages": ["en"]}


def test_a_scorer_of_many_languages_or_none_declared_determines_none() -> None:
    for languages in ((), ("en", "fr")):
        answers = analyzer(languages=languages)
        body = answers.answer(answers.asked(request()), ScoredText(SCORES, "", None))
        assert body["languages"] == body["detectedLanguages"] == ["und"]
    assert analyzer(languages=()).asked(request(languages=["xx"])).languages == ("xx",)


def test_a_text_that_cannot_be_scored_has_no_number() -> None:
    with pytest.raises(Refusal) as refused:
        answered(request("das ist gut"), unscored="words unknown to the scorer")
    assert refused.value.reason == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE" and refused.value.message.endswith(": und")
    left = answered(request("das ist gut", dropUnsupportedAttributes=True), unscored="words unknown to the scorer")
    assert left == {"attributeScores": {}, "languages": ["und"], "detectedLanguages": ["und"]}
    with pytest.raises(Refusal, match="Comment cannot be scored: NUL"):
        answered(request("a\0b", dropUnsupportedAttributes=True), unscored="NUL")


def test_a_comment_is_measured_in_bytes() -> None:
    answers = Analyzer(obedient_scoring(), 4)
    assert answers.asked(request("éé")).text == "éé"
    with pytest.raises(Refusal, match="Comment text too long"):
        answers.asked(request("ééa"))
