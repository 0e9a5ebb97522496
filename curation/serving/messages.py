"""Perspective's messages, v1alpha1: requests as they are read, and refusals in Google's form.

Names and meanings are those of the service's discovery document
(https://commentanalyzer.googleapis.com/$discovery/rest?version=v1alpha1) and of its reference
(https://github.com/conversationai/perspectiveapi/tree/main/2-api). As in every JSON of Google's, null is a field that
was left out, and `requested_attributes` says the same as `requestedAttributes`.
"""

from __future__ import annotations

import re
from typing import Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

ErrorType = Literal[
    "INVALID_REQUEST", "COMMENT_EMPTY", "COMMENT_TOO_LONG", "NO_REQUESTED_ATTRIBUTES",
    "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
]  # fmt: skip
_DETAIL = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
# A string that never ends is one match, and a word is tried from its first letter only: time is linear in the body's.
_STRING_OR_KEY = re.compile(rb'("(?:[^"\\]|\\.)*+"?)|\b([A-Za-z_]\w*+)(?=\s*:)', re.DOTALL)
_MOST = 1000  # items of a list; a wrong one costs as much as a hundred right ones


class Refusal(Exception):
    """A request that gets an error for an answer; `reason` is what it counts as."""

    def __init__(self, code: int, status: str, message: str, details: list[dict[str, object]] | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.message, self.details = code, status, message, details or []

    @property
    def reason(self) -> str:
        """The error's type, else its status."""
        return str(self.details[0]["errorType"]) if self.details else self.status

    def body(self) -> bytes:
        """The answer."""
        error: dict[str, object] = {"code": self.code, "message": self.message, "status": self.status}
        return orjson.dumps({"error": {**error, "details": self.details} if self.details else error})


def printable(name: str) -> str:
    """A name from a request, for a message: short, and nothing that a page could take for more than letters."""
    return re.sub(r"[^\w.-]", "?", name[:80])


def invalid(kind: ErrorType, message: str, **more: object) -> Refusal:
    """A 400 of the comment analyser's own kind."""
    return Refusal(400, "INVALID_ARGUMENT", message, [{"@type": _DETAIL, "errorType": kind, **more}])


class _Message(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False, frozen=True
    )


class TextEntry(_Message):
    """A text and its type."""

    text: str | None = None
    type: Literal["TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT", "HTML"] | None = None


class AttributeParameters(_Message):
    """Which score of an attribute, and from which on it is given."""

    score_type: Literal["SCORE_TYPE_UNSPECIFIED", "PROBABILITY", "STD_DEV_SCORE", "PERCENTILE", "RAW"] | None = None
    score_threshold: float | None = None


class ArticleAndParentComment(_Message):
    """What a comment replies to."""

    article: TextEntry | None = None
    parent_comment: TextEntry | None = None


class Context(_Message):
    """What stands around a comment; read, and used by no scorer."""

    entries: list[TextEntry] | None = Field(None, max_length=_MOST)
    article_and_parent_comment: ArticleAndParentComment | None = None


class _Request(_Message):
    comment: TextEntry | None = None
    context: Context | None = None
    languages: list[str] | None = Field(None, max_length=_MOST)
    client_token: str | None = None
    session_id: str | None = None
    community_id: str | None = None


class AnalyzeRequest(_Request):
    """`comments:analyze`. Nothing is ever stored, whatever `do_not_store` says."""

    requested_attributes: dict[str, AttributeParameters | None] | None = Field(None, max_length=_MOST)
    span_annotations: bool | None = None
    do_not_store: bool | None = None
    drop_unsupported_attributes: bool | None = None


class Score(_Message):
    """A number and what it is."""

    value: float | None = None
    type: str | None = None


class SpanScore(_Message):
    """The score of a stretch of a text."""

    begin: int | None = None
    end: int | None = None
    score: Score | None = None


class AttributeScores(_Message):
    """Scores of one attribute."""

    span_scores: list[SpanScore] | None = Field(None, max_length=_MOST)
    summary_score: Score | None = None


class SuggestRequest(_Request):
    """`comments:suggestscore`: scores that the client would have given."""

    attribute_scores: dict[str, AttributeScores] | None = Field(None, max_length=_MOST)


M = TypeVar("M", bound=_Message)


def read_message(body: bytes, kind: type[M]) -> M:
    """A request. Raises Refusal where it is no JSON, or has fields that the protocol has not."""
    fields = _json(body)
    if not isinstance(fields, dict):
        raise invalid("INVALID_REQUEST", "Invalid JSON payload received: no object")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = printable(".".join(map(str, first["loc"])))
        raise invalid("INVALID_REQUEST", f"Invalid value at '{where}': {first['msg']}") from None


def _json(body: bytes) -> object:
    """Strict JSON, else JSON whose keys lack their quotes, as in the reference's example for curl."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        reason = error.msg
    try:
        return orjson.loads(_STRING_OR_KEY.sub(_quoted, body))
    except orjson.JSONDecodeError:
        raise invalid("INVALID_REQUEST", f"Invalid JSON payload received: {reason}") from None


def _quoted(match: re.Match[bytes]) -> bytes:
    string, key = match.groups()
    return string if key is None else b'"%b"' % key
