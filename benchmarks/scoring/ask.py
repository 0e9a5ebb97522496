"""Clients of Perspective's protocol for benchmarks/scoring/serve.py; light, since a process of its own imports it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import NamedTuple

_PATH = "/v1alpha1/comments:analyze?key=k"


class Answered(NamedTuple):
    """Status, TOXICITY's score (-1 without one) and seconds of a request."""

    status: int
    value: float
    seconds: float


def ask_all(port: int, clients: int, texts: list[str]) -> list[Answered]:
    """The answers to all texts, asked by so many clients at once."""
    return asyncio.run(_ask_all(port, clients, texts))


async def _ask_all(port: int, clients: int, texts: list[str]) -> list[Answered]:
    rows, answers = iter(range(len(texts))), [Answered(0, -1.0, 0.0)] * len(texts)
    await asyncio.gather(*(_client(port, rows, texts, answers) for _ in range(clients)))
    return answers


async def _client(port: int, rows: Iterator[int], texts: list[str], answers: list[Answered]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for row in rows:  # all clients take from the same
        body = json.dumps({"comment": {"text": texts[row]}, "requestedAttributes": {"TOXICITY": {}}}).encode()
        start = time.perf_counter()
        writer.write(f"POST {_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        answer = json.loads(await reader.readexactly(length))
        seconds = time.perf_counter() - start
        status = int(head.split()[1])
        value = answer["attributeScores"]["TOXICITY"]["summaryScore"]["value"] if status == 200 else -1.0
        answers[row] = Answered(status, value, seconds)
    writer.close()
