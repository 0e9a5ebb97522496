"""From the options of `hormesis score --serve` to a running server; light to import."""

from __future__ import annotations

from importlib.util import find_spec

from curation.filter.text_scoring import prepare_scoring
from infra.errors import UnavailableError


def start_server(
    scorer: str, all_spans: bool, tagger: str, attribute: str | None, passage: int, host: str, port: int, queue: int,
    max_bytes: int,
) -> None:  # fmt: skip
    """Serve what `--scorer` names until SIGINT or SIGTERM. Raises UnavailableError without aiohttp, and what
    `prepare_scoring` and `serve` raise.
    """
    if find_spec("aiohttp") is None:
        raise UnavailableError("--serve needs a package that is not installed: pip install 'hormesis[http]'")
    from curation.serving.server import Limits, serve

    scoring = prepare_scoring(scorer, True, all_spans, tagger, attribute, passage)
    serve(scoring, host, port, Limits(queue, max_bytes))
