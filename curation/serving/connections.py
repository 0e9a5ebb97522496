"""Connections as aiohttp has them, without what it would log and repeat of a request; and answers in JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from curation.serving.messages import Refusal


class _Connection(web.RequestHandler):
    def handle_error(self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None,
                     message: str | None = None) -> web.StreamResponse:  # fmt: skip
        """Of what is no HTTP. aiohttp's own answer repeats the bytes that it could not read, and logs them."""
        response = refused(Refusal(status, "INVALID_ARGUMENT", "No HTTP request."))
        response.force_close()
        return response


class Connections(web.Server):
    """Takes connections for a handler; one that is silent, or begins a request, for `slow` seconds is closed."""

    def __init__(self, handler: Callable[[web.BaseRequest], Any], slow: float) -> None:
        super().__init__(handler)
        self._slow = slow

    def __call__(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        return _Connection(self, loop=loop, logger=_silent(), access_log=None, keepalive_timeout=self._slow,  # type: ignore[arg-type]
                           lingering_time=min(self._slow, 5.0), auto_decompress=False)  # fmt: skip


def _silent() -> logging.Logger:
    logger = logging.getLogger("hormesis.serving")
    logger.disabled = True  # what aiohttp logs may hold a request's bytes
    return logger


def answer(body: bytes, status: int = 200) -> web.Response:
    """JSON, which no browser takes for a page."""
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8",
                        headers={"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
                                 "Server": "hormesis"})  # fmt: skip


def refused(refusal: Refusal) -> web.Response:
    """A refusal in Google's form."""
    response = answer(refusal.body(), refusal.code)
    if refusal.code == 503:
        response.headers["Retry-After"] = "1"
    return response
