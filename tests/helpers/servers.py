"""Servers of `hormesis score --serve` in processes of their own, their clients, and a scorer that does as a text says.

python -m tests.helpers.servers QUEUE SLOW    # serves `Obedient` at a free port
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from curation.filter.text_scoring import TextScoring
from curation.scorers import Card, Scorer, ScorerSpec
from tests.helpers import ROOT

ANALYZE = "/v1alpha1/comments:analyze"
TOXICITY = {"TOXICITY": {}}


class Obedient(Scorer):
    """Of "sleep 0.3 0.9" the score is 0.9, after 0.3 s; "raise secret" fails; any other text has 0.25."""

    options = ScorerSpec
    attributes = ("toxicity", "sexual_explicit")
    identity = "obedient"

    @classmethod
    def load(cls, spec: Any) -> Scorer:
        return cls()

    @classmethod
    def weights(cls, spec: Any) -> str:
        return ""

    @staticmethod
    def card(spec: Any) -> Card:
        return Card(("en",), "")

    def _raw_scores(self, texts: list[str]) -> Any:
        return np.array([[obeyed(text)] * 2 for text in texts])


def obeyed(text: str) -> float:
    command, *numbers = text.split()
    if command == "raise":
        raise ValueError(f"cannot score {text!r}")
    if command == "sleep":
        time.sleep(float(numbers[0]))
        return float(numbers[1])
    return 0.25


def obedient_scoring() -> TextScoring:
    return TextScoring(Obedient(), None, "toxicity", 200, 0.5, ("en",))


@dataclass
class Server:
    """A process that serves; `log` is what it writes on standard error."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def post(self, body: object, path: str = ANALYZE, **headers: str) -> tuple[int, dict[str, Any], Any]:
        """Status, answer and headers of a request; `body` as it is if it is bytes."""
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)

    def request(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(client):
            client.request(method, path, body, headers or {})
            response = client.getresponse()
            assert response.headers["Content-Type"] == "application/json; charset=utf-8"
            assert not [name for name in response.headers if name.lower().startswith("access-control")]
            return response.status, json.loads(response.read()), response.headers

    def scores(self, texts: Sequence[str]) -> list[Any]:
        """The answers to all texts, each asked by a client of its own, all at once."""
        return asyncio.run(_together(self.port, texts))


@contextlib.contextmanager
def serving(log: Path, *command: str) -> Iterator[Server]:
    """A server that takes requests; ended with what it runs in, if it still runs."""
    with log.open("wb") as opened:
        process = subprocess.Popen([sys.executable, "-m", *command], stderr=opened, cwd=ROOT)
    try:
        yield Server(process, _port(process, log), log)
    finally:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    while process.poll() is None:
        if match := re.search(r" at http://127\.0\.0\.1:(\d+)/", log.read_text()):
            return int(match[1])
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def allow_files(number: int) -> bool:
    """Let this process have so many open files, if it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number and (hard == resource.RLIM_INFINITY or hard >= number):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= number


async def _together(port: int, texts: Sequence[str]) -> list[Any]:
    return await asyncio.gather(*(asked(port, text) for text in texts))


async def asked(port: int, text: str) -> Any:
    """Status and answer of one request over a new connection."""
    body = json.dumps({"comment": {"text": text}, "requestedAttributes": TOXICITY}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {ANALYZE}?key=k HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


if __name__ == "__main__":
    from curation.serving.server import Limits, serve

    serve(obedient_scoring(), "127.0.0.1", 0, Limits(queue=int(sys.argv[1]), slow=float(sys.argv[2])))
