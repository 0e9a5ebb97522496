"""The HTTP server: what comes in, what is refused before it is read, and how it stops. aiohttp is the extra `http`."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import orjson
from aiohttp import web

from curation.filter.text_scoring import TextScoring
from curation.serving.analyzer import Analyzer
from curation.serving.batches import Batches
from curation.serving.connections import Connections, answer, refused
from curation.serving.messages import AnalyzeRequest, Refusal, SuggestRequest, read_message
from curation.serving.tally import Tally
from infra.errors import InputError
from infra.render.progress import say

ANALYZE, SUGGEST, HEALTH = "/v1alpha1/comments:analyze", "/v1alpha1/comments:suggestscore", "/healthz"
_METHODS = {ANALYZE: "POST", SUGGEST: "POST", HEALTH: "GET"}
_BACKLOG = 4096  # connections that the kernel keeps until they are taken; the system's own limit may be lower
_FILES = 65_536
_MINUTE = 60.0
_GRACE = 0.2  # seconds in which what a client has sent before the end may still arrive
_DRAIN = 30.0  # seconds that a stopping server has for what it has accepted


@dataclass(frozen=True)
class Limits:
    """What a server takes."""

    queue: int = 2048
    """Requests that are accepted and not yet answered."""
    max_bytes: int = 20_480
    """Of a comment in UTF-8; Perspective's own limit."""
    slow: float = 30.0
    """Seconds that a client has to send a request, and to take its answer; also of a connection that sends nothing."""

    @property
    def body(self) -> int:
        """Bytes of a request: JSON may write a byte of text as six."""
        return 8 * self.max_bytes + 65_536


class Service:
    """Answers requests; `open` counts those that are accepted and not yet answered."""

    def __init__(self, scoring: TextScoring, limits: Limits) -> None:
        self._limits = limits
        self._analyzer = Analyzer(scoring, limits.max_bytes)
        self.server = Connections(self._handle, limits.slow)
        self.batches = Batches(scoring, lambda: len(self.server.connections))
        self.tally = Tally(self.batches)
        self.open, self.stopping = 0, False

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes that can be asked for."""
        return tuple(self._analyzer.names)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        start = asyncio.get_running_loop().time()
        try:
            response = answer(await self._answer(request))
            if request.path == ANALYZE:
                self.tally.seconds.append(asyncio.get_running_loop().time() - start)
        except ConnectionError:  # the client has gone
            raise
        except Refusal as refusal:
            self.tally.refused[refusal.reason] += 1
            response = refused(refusal)
            if refusal.code == 405:
                response.headers["Allow"] = _METHODS[request.path]
        except Exception as error:  # its message may hold the text
            self.tally.refused[f"INTERNAL {type(error).__name__}"] += 1
            response = refused(Refusal(500, "INTERNAL", "The scorer failed on this request."))
        if self.stopping:
            response.force_close()
        return await self._sent(request, response)

    async def _answer(self, request: web.BaseRequest) -> bytes:
        if (method := _METHODS.get(request.path)) is None:
            raise Refusal(404, "NOT_FOUND", f"There are {', '.join(_METHODS)}.")
        if request.method != method:
            raise Refusal(405, "UNIMPLEMENTED", f"{request.path} takes {method}.")
        if request.path == HEALTH:
            return orjson.dumps({"status": "stopping" if self.stopping else "ok", "attributes": self.names})
        with self._accepted():
            body = await self._body(request)
            if request.path == SUGGEST:
                return orjson.dumps(self._analyzer.suggested(read_message(body, SuggestRequest)))
            asked = self._analyzer.asked(read_message(body, AnalyzeRequest))
            scored = await self.batches.score(asked.text, asked.with_spans)
            return orjson.dumps(self._analyzer.answer(asked, scored))

    @contextlib.contextmanager
    def _accepted(self) -> Iterator[None]:
        """Count a request as accepted. Raises Refusal where there are too many."""
        if self.open >= self._limits.queue:
            raise Refusal(503, "UNAVAILABLE", "Too many requests wait for an answer; try again in a second.")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Raises Refusal where it is too long, or comes too slowly."""
        too_long = Refusal(
            413, "INVALID_ARGUMENT", f"Request payload size exceeds the limit: {self._limits.body} bytes."
        )
        if (request.content_length or 0) > self._limits.body:
            raise too_long
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.slow):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self._limits.body:
                        raise too_long
        except TimeoutError:
            raise Refusal(408, "DEADLINE_EXCEEDED", "The request did not arrive in time.") from None
        except web.RequestPayloadError:
            raise Refusal(400, "INVALID_ARGUMENT", "The request's body is damaged.") from None
        return bytes(body)

    async def _sent(self, request: web.BaseRequest, response: web.Response) -> web.StreamResponse:
        """Write an answer; a client that does not take it is left."""
        try:
            async with asyncio.timeout(self._limits.slow):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport:
                request.transport.abort()
        return response


def serve(scoring: TextScoring, host: str, port: int, limits: Limits) -> None:
    """Answer requests until SIGINT or SIGTERM, and then those that have been accepted.

    Raises ScoringError where the scorer cannot score at all, InputError where the address cannot be had.
    """
    scoring.score(["A fine day."], True)  # weights are loaded before the first client, and faults told
    asyncio.run(_serve(scoring, host, port, limits))


async def _serve(scoring: TextScoring, host: str, port: int, limits: Limits) -> None:
    service = Service(scoring, limits)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    _raise_file_limit()
    runner = web.ServerRunner(service.server, shutdown_timeout=limits.slow)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    await _listen(site, host, port)
    say(f"{scoring.identity} serves {', '.join(service.names)} at {_address(runner)}{ANALYZE}; Ctrl-C ends it")
    tasks = [asyncio.create_task(service.batches.run()), asyncio.create_task(_tell(service.tally))]
    await asyncio.wait([*tasks, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    await _drain(service, site)
    await runner.cleanup()
    if line := service.tally.line():
        say(line)
    for task in tasks:
        if task.done():  # neither ends by itself
            task.result()
        task.cancel()


async def _listen(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--serve: {host}:{port} cannot be had: {reason}") from None


async def _drain(service: Service, site: web.TCPSite) -> None:
    """Take no further connection, and answer what has been sent on those that there are."""
    service.stopping = True
    await asyncio.sleep(0)  # the loop takes all connections that the kernel has ready
    await site.stop()
    loop = asyncio.get_running_loop()
    end = loop.time() + _DRAIN
    await asyncio.sleep(_GRACE)
    while service.open and loop.time() < end:
        await asyncio.sleep(0.01)


async def _tell(tally: Tally) -> None:
    while True:
        await asyncio.sleep(_MINUTE)
        if line := tally.line():
            say(line)


def _address(runner: web.ServerRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _raise_file_limit() -> None:
    """A connection is an open file, and shells allow few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
