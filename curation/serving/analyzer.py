"""Perspective's two methods on a scorer: what is asked of a text, and the answer from what is known of it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from curation.corpus.records import Span
from curation.filter.text_scoring import ScoredText, TextScoring
from curation.scoring.unscored import why_not_text
from curation.serving.messages import AnalyzeRequest, AttributeParameters, SuggestRequest, TextEntry, invalid, printable
from infra.errors import InputError

UNKNOWN = "und"
"""BCP 47's code for a language that nobody has determined."""
_PROBABILITY = "PROBABILITY"
_TYPES = (None, "SCORE_TYPE_UNSPECIFIED", _PROBABILITY)
_ALSO = {"SEXUAL_EXPLICIT": "SEXUALLY_EXPLICIT"}
"""Names of Jigsaw's data, and of the models that learnt from it, under which Perspective has another one."""

Json = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """A request that can be scored."""

    text: str
    attributes: Mapping[str, AttributeParameters]
    """By the names that the answer is to use."""
    with_spans: bool
    languages: tuple[str, ...]
    client_token: str | None
    drops: bool
    """Whether attributes without scores in the text's language are left out of the answer."""


class Analyzer:
    """Answers for one scorer, in Perspective's names."""

    def __init__(self, scoring: TextScoring, max_bytes: int) -> None:
        self.scoring, self.max_bytes = scoring, max_bytes
        self.names = _names(scoring.attributes)

    def asked(self, request: AnalyzeRequest) -> Asked:
        """Check a request. Raises Refusal."""
        text = self._text(request.comment)
        _check_context(request)
        if not request.requested_attributes:
            raise invalid("NO_REQUESTED_ATTRIBUTES", "Missing requested_attributes")
        chosen = {name: one or AttributeParameters() for name, one in request.requested_attributes.items()}
        for name, parameters in chosen.items():
            self._check_attribute(name, parameters)
        drops = bool(request.drop_unsupported_attributes)
        foreign = [language for language in request.languages or () if not self._reads(language)]
        if foreign:
            self._unsupported(next(iter(chosen)), foreign, drops)
            chosen = {}
        return Asked(text, chosen, bool(request.span_annotations), tuple(request.languages or ()),
                     request.client_token, drops)  # fmt: skip

    def answer(self, asked: Asked, scored: ScoredText) -> Json:
        """The answer to a request. Raises Refusal where the text cannot be scored."""
        attributes = asked.attributes
        if scored.unscored:
            if why := why_not_text(asked.text):
                raise invalid("INVALID_REQUEST", f"Comment cannot be scored: {why}")
            self._unsupported(next(iter(attributes), ""), [UNKNOWN], asked.drops)
            attributes = {}
        scores = {name: self._attribute(name, one, asked, scored) for name, one in attributes.items()}
        detected = UNKNOWN if scored.unscored else self._own_language
        body: Json = {
            "attributeScores": {name: one for name, one in scores.items() if one is not None},
            "languages": list(asked.languages) or [detected],
            "detectedLanguages": [detected],
        }
        return body if asked.client_token is None else {**body, "clientToken": asked.client_token}

    def suggested(self, request: SuggestRequest) -> Json:
        """What the protocol answers to a suggestion, which goes nowhere. Raises Refusal."""
        self._text(request.comment)
        _check_context(request)
        if not request.attribute_scores:
            raise invalid("INVALID_REQUEST", "Missing attribute_scores")
        for name, scores in request.attribute_scores.items():
            self._check_attribute(name, AttributeParameters())
            if scores.summary_score is None and not scores.span_scores:
                raise invalid("INVALID_REQUEST", f"Missing scores of attribute: {name}")
        body: Json = {"requestedLanguages": request.languages} if request.languages else {}
        return body if request.client_token is None else {**body, "clientToken": request.client_token}

    @property
    def _own_language(self) -> str:
        """What a text is taken for that the scorer does not refuse."""
        languages = self.scoring.languages
        return languages[0] if len(languages) == 1 else UNKNOWN

    def _text(self, comment: TextEntry | None) -> str:
        text = (comment.text if comment else None) or ""
        if not text.strip():
            raise invalid("COMMENT_EMPTY", "Comment must be non-empty.")
        if comment and comment.type == "HTML":
            raise invalid("INVALID_REQUEST", "Currently, only 'PLAIN_TEXT' comments are supported")
        if len(text) > self.max_bytes or len(text.encode()) > self.max_bytes:
            raise invalid("COMMENT_TOO_LONG", "Comment text too long.")
        return text

    def _check_attribute(self, name: str, parameters: AttributeParameters) -> None:
        if name not in self.names:
            raise invalid("INVALID_REQUEST", f"Unknown requested attribute: {printable(name)}")
        if parameters.score_type not in _TYPES:
            message = f"Requested score type {parameters.score_type} is not supported by attribute {name}"
            raise invalid("INVALID_REQUEST", message)

    def _reads(self, language: str) -> bool:
        declared = self.scoring.languages
        return not declared or re.split("[-_]", language.lower())[0] in declared

    def _unsupported(self, attribute: str, languages: list[str], drops: bool) -> None:
        """Refuse for a language, unless attributes are then to be left out."""
        if drops:
            return
        shown = [printable(language) for language in languages]
        message = f"Attribute {attribute} does not support request languages: {', '.join(shown)}"
        key = "detectedLanguages" if languages == [UNKNOWN] else "requestedLanguages"
        told = {"attribute": attribute, key: shown}
        raise invalid("LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE", message, languageNotSupportedByAttributeError=told)

    def _attribute(self, name: str, parameters: AttributeParameters, asked: Asked, scored: ScoredText) -> Json | None:
        """Scores of an attribute; None where all are below the threshold."""
        floor = 0.0 if parameters.score_threshold is None else parameters.score_threshold
        value = scored.scores[self.names[name]]
        spans = [span for span in self._spans(self.names[name], asked, scored) if span.score >= floor]
        units = _Offsets(asked.text)
        told: Json = {}
        if spans or asked.with_spans:
            told["spanScores"] = [
                {"begin": units(span.start), "end": units(span.end), "score": _score(span.score)} for span in spans
            ]
        if value >= floor:
            told["summaryScore"] = _score(value)
        return told if value >= floor or spans else None

    def _spans(self, attribute: str, asked: Asked, scored: ScoredText) -> list[Span]:
        """Without span annotations the service gives one span, the whole text, and clients read their score there."""
        if not asked.with_spans:
            return [Span(0, len(asked.text), attribute, scored.scores[attribute])]
        return self.scoring.shown(asked.text, scored.tagged, attribute) if scored.tagged else []


def _names(attributes: tuple[str, ...]) -> dict[str, str]:
    """Perspective's name -> the scorer's. Raises InputError where two of the scorer's would share one."""
    names: dict[str, str] = {}
    for attribute in attributes:
        name = re.sub(r"\W", "_", attribute).upper()
        for one in (name, _ALSO.get(name, name)):
            if names.setdefault(one, attribute) != attribute:
                raise InputError(f"--serve: attributes {names[one]} and {attribute} would both be called {one}")
    return names


def _check_context(request: AnalyzeRequest | SuggestRequest) -> None:
    context = request.context
    if context and context.entries and context.article_and_parent_comment:
        raise invalid(
            "INVALID_REQUEST",
            "Context can have either entries or article_and_parent_comment, but both fields were populated.",
        )


def _score(value: float) -> Json:
    return {"value": value, "type": _PROBABILITY}


class _Offsets:
    """Offsets in code points as offsets in UTF-16, which the protocol counts in."""

    def __init__(self, text: str) -> None:
        self._wide = [] if text.isascii() else [index for index, letter in enumerate(text) if letter > "\uffff"]

    def __call__(self, offset: int) -> int:
        return offset + bisect_left(self._wide, offset)
