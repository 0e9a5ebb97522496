"""`hormesis score --serve`: a client of Perspective's protocol is answered, whatever others send at the same time.

Covers curation.serving.server, curation.serving.connections and curation.serving.start.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.filter.score_lines import prepare
from curation.serving.server import Limits, serve
from infra.errors import InputError
from tests.helpers.servers import ANALYZE, TOXICITY, Server, allow_files, obedient_scoring, serving

SUGGEST = "/v1alpha1/comments:suggestscore"
FOO = "What kind of idiot name is foo? Sorry, I like your name."
GARBAGE = b"{'<script>': nobody could read this}"


@pytest.fixture(scope="module")
def perspective(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("server") / "log"
    with serving(log, "hormesis", "score", "--scorer", "profanity", "--serve", "--port", "0") as server:
        yield server


@pytest.fixture(scope="module")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "log", "tests.helpers.servers", "4", "1.0") as server:
        yield server


def filtered(*texts: str) -> list[dict]:
    """What `hormesis score --spans` says."""
    chosen = prepare("profanity", True, False, "words", None, 200)
    return [json.loads(line) for line in chosen.lines([[json.dumps({"text": text}).encode() for text in texts]])]


# Requests as Perspective's own pages have them: curl (keys without quotes), Python, the reference
DOCUMENTED = [
    b"""{comment: {text: "what kind of idiot name is foo?"},
          languages: ["en"],
          requestedAttributes: {TOXICITY:{}} }""",
    b'{"comment": {"text": "what kind of idiot name is foo?"}, "languages": ["en"],'
    b' "requestedAttributes": {"TOXICITY": {}}}',
    json.dumps({"comment": {"text": "what kind of idiot name is foo?", "type": "PLAIN_TEXT"}, "languages": ["en"],
                "context": {"entries": [{"text": "before", "type": "PLAIN_TEXT"}]}, "doNotStore": True,
                "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY", "scoreThreshold": 0}},
                "sessionId": "7", "communityId": "c", "spanAnnotations": False}).encode(),
    b'{"comment": {"text": "what kind of idiot name is foo?"}, "requested_attributes": {"TOXICITY": null}}',
]  # fmt: skip


@pytest.mark.parametrize("body", DOCUMENTED)
def test_requests_of_perspectives_pages_are_answered_unchanged(perspective: Server, body: bytes) -> None:
    status, answer, _ = perspective.post(body, f"{ANALYZE}?key=YOUR_KEY_HERE&alt=json")
    value = filtered("what kind of idiot name is foo?")[0]["scores"]["toxicity"]
    score = {"value": value, "type": "PROBABILITY"}
    assert status == 200
    assert answer == {
        "attributeScores": {
            "TOXICITY": {"spanScores": [{"begin": 0, "end": 31, "score": score}], "summaryScore": score}
        },
        "languages": ["en"],
        "detectedLanguages": ["en"],
    }


def test_spans_are_those_of_the_filter_in_utf_16(perspective: Server) -> None:
    text = f"😀 {FOO}"
    request = {"comment": {"text": text}, "requestedAttributes": TOXICITY, "spanAnnotations": True, "clientToken": "t"}
    status, answer, _ = perspective.post(request)
    ((start, end, score),) = filtered(text)[0]["spans"]
    assert text[start:end] == "idiot" and status == 200 and answer["clientToken"] == "t"
    (span,) = answer["attributeScores"]["TOXICITY"]["spanScores"]
    assert span == {"begin": start + 1, "end": end + 1, "score": {"value": score, "type": "PROBABILITY"}}


def test_a_thousand_at_once_get_the_scorers_own_scores(perspective: Server) -> None:
    if not allow_files(2200):
        pytest.skip("this process may not open 1,000 connections")
    texts = [f"{number} {'you idiot' if number % 3 else 'a fine day'} in the town" for number in range(1000)]
    answers = perspective.scores(texts)
    assert [status for status, _ in answers] == [200] * 1000
    values = [answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"] for _, answer in answers]
    assert values == [one["scores"]["toxicity"] for one in filtered(*texts)]


REFUSED = [
    (b"", 400, "INVALID_REQUEST"),
    (GARBAGE, 400, "INVALID_REQUEST"),
    (b'["a"]', 400, "INVALID_REQUEST"),
    (b"[" * 50_000, 400, "INVALID_REQUEST"),
    (b'"' + b'\\"' * 100_000, 400, "INVALID_REQUEST"),
    (b"a" * 200_000, 400, "INVALID_REQUEST"),
    (b"\xff", 400, "INVALID_REQUEST"),
    ({"requestedAttributes": TOXICITY}, 400, "COMMENT_EMPTY"),
    ({"comment": {"text": " \n"}, "requestedAttributes": TOXICITY}, 400, "COMMENT_EMPTY"),
    ({"comment": {"text": "fine"}}, 400, "NO_REQUESTED_ATTRIBUTES"),
    ({"comment": {"text": "fine"}, "requestedAttributes": {"INSULT": {}}}, 400, "INVALID_REQUEST"),
    ({"comment": {"text": "fine"}, "requestedAttributes": TOXICITY, "key": 1}, 400, "INVALID_REQUEST"),
    ({"comment": {"text": 7}, "requestedAttributes": TOXICITY}, 400, "INVALID_REQUEST"),
    ({"comment": {"text": "é" * 10_241}, "requestedAttributes": TOXICITY}, 400, "COMMENT_TOO_LONG"),
    ({"comment": {"text": "fine"}, "requestedAttributes": TOXICITY, "languages": ["en", "de"]}, 400,
     "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"),
    ({"comment": {"text": "das ist aber wirklich schlimm"}, "requestedAttributes": TOXICITY}, 400,
     "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"),
    ({"comment": {"text": "damn\0fool"}, "requestedAttributes": TOXICITY}, 400, "INVALID_REQUEST"),
    ({"comment": {"text": "x" * 300_000}, "requestedAttributes": TOXICITY}, 413, None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "kind"), REFUSED)
def test_a_bad_request_is_refused_in_the_protocols_words(
    perspective: Server, body: object, code: int, kind: str | None
) -> None:
    status, answer, _ = perspective.post(body)
    error = answer["error"]
    assert answer.keys() == {"error"} and status == error["code"] == code and error["status"] == "INVALID_ARGUMENT"
    assert [detail["errorType"] for detail in error.get("details", [])] == ([kind] if kind else [])
    assert perspective.post({"comment": {"text": FOO}, "requestedAttributes": TOXICITY})[0] == 200


def test_the_longest_comment_is_scored(perspective: Server) -> None:
    text = "é " + "a fine day " * 1861 + "is her"
    assert len(text.encode()) == 20_480
    assert perspective.post({"comment": {"text": text}, "requestedAttributes": TOXICITY})[0] == 200


@pytest.mark.parametrize(("method", "path", "code"), [("GET", ANALYZE, 405), ("OPTIONS", ANALYZE, 405),
    ("PUT", SUGGEST, 405), ("POST", "/healthz", 405), ("GET", "/", 404), ("GET", "/../../etc/passwd", 404),
    ("POST", "/v1alpha1/comments:analyze/", 404), ("GET", "/%3Cscript%3E", 404)])  # fmt: skip
def test_other_methods_and_paths_are_refused(perspective: Server, method: str, path: str, code: int) -> None:
    status, answer, headers = perspective.request(method, path)
    assert status == answer["error"]["code"] == code and "script" not in str(answer)
    assert headers["Allow"] == (None if code == 404 else "GET" if path == "/healthz" else "POST")


def test_what_is_no_http_is_not_repeated(perspective: Server) -> None:
    with socket.create_connection(("127.0.0.1", perspective.port)) as client:
        client.sendall(b"<script>alert()</script> nobody could read this\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"application/json" in answer and b"script" not in answer


def test_a_suggestion_is_answered_as_the_protocol_has_it(perspective: Server) -> None:
    scores = {"TOXICITY": {"summaryScore": {"value": 0}}}
    body = {"comment": {"text": "Get busy living."}, "attributeScores": scores, "clientToken": "comment-53922"}
    status, answer, _ = perspective.post({**body, "communityId": "/forum/movies"}, SUGGEST)
    assert (status, answer) == (200, {"clientToken": "comment-53922"})
    for wrong in ({**body, "attributeScores": {}}, {**body, "attributeScores": {"TOXICITY": {}}},
                  {**body, "attributeScores": {"FLIRTATION": scores["TOXICITY"]}}):  # fmt: skip
        status, answer, _ = perspective.post(wrong, SUGGEST)
        assert status == 400 and answer["error"]["details"][0]["errorType"] == "INVALID_REQUEST"


def test_it_listens_at_loopback_alone(perspective: Server) -> None:
    with pytest.raises(ConnectionRefusedError):  # which an address of all interfaces would take too
        socket.create_connection(("127.0.0.2", perspective.port))


def test_an_address_that_cannot_be_had_is_one_message(perspective: Server) -> None:
    for host, port in (("127.0.0.1", perspective.port), ("192.0.2.1", 0), ("no.such.host.invalid", 0)):
        with pytest.raises(InputError, match=f"--serve: {host}:{port} cannot be had: "):
            serve(obedient_scoring(), host, port, Limits())


def test_a_text_that_fails_is_an_error_and_takes_no_other_along(obedient: Server) -> None:
    answers = obedient.scores(["sleep 0.3 0.5", "raise secret", "fine"])
    assert [status for status, _ in answers] == [200, 500, 200]
    assert answers[1][1]["error"]["status"] == "INTERNAL" and "secret" not in str(answers[1])
    assert answers[2][1]["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.25


def test_a_full_queue_is_503_with_a_time_to_come_back_and_health_is_told_all_the_same(obedient: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(obedient.scores, [f"sleep 0.5 0.{number}" for number in range(1, 5)])
        time.sleep(0.3)
        status, answer, headers = obedient.post({"comment": {"text": "more"}, "requestedAttributes": TOXICITY})
        assert status == 503 and answer["error"]["status"] == "UNAVAILABLE" and headers["Retry-After"] == "1"
        assert obedient.request("GET", "/healthz")[:2] == (
            200,
            {"status": "ok", "attributes": ["TOXICITY", "SEXUAL_EXPLICIT", "SEXUALLY_EXPLICIT"]},
        )
        assert [status for status, _ in answers.result()] == [200] * 4
    assert obedient.post({"comment": {"text": "more"}, "requestedAttributes": TOXICITY})[0] == 200


@pytest.mark.parametrize(("sent", "answered"), [(b"", b""), (f"POST {ANALYZE} HTTP/1.1\r\nHo".encode(), b""),
    (f"POST {ANALYZE} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode(), b"HTTP/1.1 408")])  # fmt: skip
def test_a_slow_client_is_left(obedient: Server, sent: bytes, answered: bytes) -> None:
    with socket.create_connection(("127.0.0.1", obedient.port), timeout=20) as client:
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(4096), b""))  # ends only when the server closes
    assert answer[: len(answered)] == answered and bool(answer) == bool(answered)


def test_a_client_that_takes_no_answer_is_left(obedient: Server) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", obedient.port))
        client.settimeout(60)
        with pytest.raises(ConnectionError):
            while True:  # requests of which no answer is read, until the server has had enough
                client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
    assert obedient.request("GET", "/healthz")[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_stopped_answers_what_it_has_accepted(tmp_path: Path, number: int) -> None:
    with serving(tmp_path / "log", "tests.helpers.servers", "100", "30") as server, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(server.scores, [f"sleep 0.02 0.{digit}" for digit in range(10, 60)])
        time.sleep(0.4)
        server.process.send_signal(number)
        assert [status for status, _ in answers.result()] == [200] * 50
        assert [one["attributeScores"]["TOXICITY"]["summaryScore"]["value"] for _, one in answers.result()] == [
            pytest.approx(digit / 100) for digit in range(10, 60)
        ]
        assert server.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        assert "50 answered" in server.log.read_text()


def test_requests_on_connections_that_stay_open_are_answered_before_the_end(tmp_path: Path) -> None:
    with serving(tmp_path / "log", "tests.helpers.servers", "100", "30") as server:
        ended: list[str] = []
        clients = [threading.Thread(target=_ask_on, args=(server.port, ended)) for _ in range(8)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        server.process.terminate()
        for client in clients:
            client.join()
        assert ended == ["answered, then closed"] * 8
        assert server.process.wait(20) == 0


def _ask_on(port: int, ended: list[str]) -> None:
    """Ask over one connection until the server says that it closes it."""
    body = json.dumps({"comment": {"text": "sleep 0.01 0.5"}, "requestedAttributes": TOXICITY}).encode()
    head = f"POST {ANALYZE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        while True:
            client.sendall(head + body)
            answer = client.recv(65_536)
            if b"connection: close" in answer.lower() or not answer:
                ended.append("answered, then closed" if answer.startswith(b"HTTP/1.1 200") else "lost")
                return


def test_no_text_is_ever_logged(perspective: Server, obedient: Server) -> None:
    perspective.post(GARBAGE)
    obedient.scores(["raise secret"])
    for server in (perspective, obedient):
        first, *minutes = server.log.read_text().splitlines()
        assert " serves TOXICITY" in first
        assert all(re.fullmatch(r"[\d,]+ answered(; [\w .,%()]+)*", line) for line in minutes)
        assert "secret" not in str(minutes) and "nobody" not in str(minutes)
