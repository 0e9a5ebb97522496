"""Perspective's messages are read as its own server reads them, and nothing else is."""

from __future__ import annotations

import json

import pytest

from curation.serving.messages import AnalyzeRequest, Refusal, SuggestRequest, invalid, read_message


def test_null_is_a_field_that_was_left_out() -> None:
    body = b'{"comment": {"text": "a", "type": null}, "languages": null, "requestedAttributes": {"TOXICITY": null}}'
    request = read_message(body, AnalyzeRequest)
    assert request.comment is not None and request.comment.text == "a" and request.languages is None
    assert request.requested_attributes == {"TOXICITY": None}


def test_names_may_have_underscores_and_keys_no_quotes() -> None:
    body = b"""{comment : {text: "a \\"b: c\\", d: e"}, requested_attributes: {TOXICITY:{score_threshold: 0.5}}}"""
    request = read_message(body, AnalyzeRequest)
    assert request.comment is not None and request.comment.text == 'a "b: c", d: e'
    assert request.requested_attributes and request.requested_attributes["TOXICITY"].score_threshold == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("body", "where"),
    [({"comment": {"text": "a", "colour": 1}}, "comment.colour"), ({"languages": "en"}, "languages"),
     ({"requestedAttributes": {"T": {"scoreType": "LOUD"}}}, "requestedAttributes.T.scoreType"),
     ({"requestedAttributes": {"T": {"scoreThreshold": "0.5"}}}, "requestedAttributes.T.scoreThreshold"),
     ({"spanAnnotations": "true"}, "spanAnnotations"), ({"<script>": 1}, "?script?"),
     ({"languages": ["en"] * 1001}, "languages")],
)  # fmt: skip
def test_what_the_protocol_has_not_is_named(body: dict, where: str) -> None:
    with pytest.raises(Refusal) as refused:
        read_message(json.dumps(body).encode(), AnalyzeRequest)
    assert refused.value.reason == "INVALID_REQUEST" and f"Invalid value at '{where}': " in refused.value.message


@pytest.mark.parametrize("body", [b'{"comment": NaN}', b'{"comment": {"text": "\\ud800"}}', b"{} {}", b"null", b"7"])
def test_what_is_no_object_in_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="Invalid JSON payload received"):
        read_message(body, SuggestRequest)


@pytest.mark.parametrize("unit", [b'\\"', b"a", b" ", b'a"', b"a:", b"\\", b'"a":1,'])
def test_a_long_body_is_refused_soon(unit: bytes) -> None:  # were time squared in its length, this would take hours
    with pytest.raises(Refusal):
        read_message(b"{" + unit * (1_000_000 // len(unit)), AnalyzeRequest)


def test_an_error_has_googles_form() -> None:
    kind = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"
    assert json.loads(invalid("COMMENT_EMPTY", "Comment must be non-empty.").body()) == {
        "error": {
            "code": 400,
            "message": "Comment must be non-empty.",
            "status": "INVALID_ARGUMENT",
            "details": [{"@type": kind, "errorType": "COMMENT_EMPTY"}],
        }
    }
    assert Refusal(503, "UNAVAILABLE", "full").reason == "UNAVAILABLE"
