"""The page of a mixture: composition, risk histogram of each component, samples with a heat-map of their tokens."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from infra.artifact import Artifact
from infra.html import heatmap, table_html
from infra.stage import Page, Table
from mixtures import risk
from mixtures.built import BuiltMixture, Files

_SAMPLES = 3  # per component: the riskiest of the first documents
_AMONG = 500  # documents looked at for them
_TOKENS = 160  # shown of each
_BANDS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def show_mixture(artifact: Artifact) -> Page:
    """Tables for the terminal and the page's body."""
    mixture = BuiltMixture.open(artifact.path, verify=False)
    tables = (composition(mixture), _histogram(mixture))
    samples = "".join(_samples(mixture, files) for files in mixture.components)
    body = "".join(map(table_html, tables)) + f"<h2>Samples</h2>{samples}"
    return Page(f"mixture {artifact.path.name}", tables, body)


def composition(mixture: BuiltMixture) -> Table:
    """A row a component: what it takes, how much of it, how risky."""
    rows = []
    for record in mixture.manifest["components"]:
        rows.append(
            (
                record["name"],
                record["corpus"],
                record["where"] or "",
                record["tokens"],
                f"{record['tokens'] / mixture.tokens:.2%}",
                record["documents"],
                round(_taken(record) / record["available"], 3) if record["available"] else 0,
                _share(record["risky_tokens"], record["tokens"]),
                record["held_out"]["tokens"],
            )
        )
    columns = ("component", "corpus", "where", "tokens", "share", "documents", "repetitions", "risky ≥ 0.5", "held out")
    return Table(f"composition of {mixture.tokens:,} tokens", columns, tuple(rows))


def _taken(record: dict[str, Any]) -> int:
    """Tokens of documents; those of prefixes come on top."""
    return int(record["tokens"]) - int(record.get("prefix_tokens", 0))


def _histogram(mixture: BuiltMixture) -> Table:
    """Share of each component's tokens in bands of the risk score."""
    edges = [risk.LOWEST, *(risk.threshold_byte(band) for band in _BANDS), risk.STRUCTURAL]
    labels = [f"< {_BANDS[0]}", *(f"{a}-{b}" for a, b in pairwise(_BANDS)), f"≥ {_BANDS[-1]}"]
    rows: list[tuple[object, ...]] = []
    for record in mixture.manifest["components"]:
        counts = np.asarray(record["risk_histogram"])
        bands = [int(counts[first:last].sum()) for first, last in pairwise(edges)]
        shares = [_share(count, record["tokens"]) for count in (int(counts[risk.UNSCORED]), *bands)]
        rows.append((record["name"], *shares))
    return Table(f"tokens by {mixture.risk or 'risk'} score", ("component", "unscored", *labels), tuple(rows))


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else "-"


def _samples(mixture: BuiltMixture, files: Files) -> str:
    """Heat-maps of the riskiest among a component's first documents."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / "tokenizer.json"))
    tokens, levels = files.open()
    among = min(_AMONG, files.documents)
    highest = [int(levels.document(index).max()) for index in range(among)]
    chosen = sorted(range(among), key=lambda index: (-highest[index], index))[:_SAMPLES]
    shown = (_heatmap(tokenizer, tokens.document(index), levels.document(index)) for index in chosen)
    return f"<h3>{files.name}</h3>" + "".join(shown)


def _heatmap(tokenizer: Any, tokens: np.ndarray[Any, Any], levels: risk.Bytes) -> str:
    """Up to _TOKENS tokens around the riskiest one, coloured by risk."""
    first = max(0, int(np.argmax(levels)) - _TOKENS // 2)
    ids = tokens[first : first + _TOKENS].tolist()
    # A code point may lie over several tokens, so pieces are found by decoding ever longer beginnings.
    ends = [len(tokenizer.decode(ids[: count + 1], skip_special_tokens=False)) for count in range(len(ids))]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    scores = np.nan_to_num(risk.decode(levels[first : first + _TOKENS]))
    starts = [0, *ends[:-1]]
    above = [float(score) if level > risk.LOWEST else 0.0 for score, level in zip(scores, levels[first:], strict=False)]
    return heatmap(text, [(min(s, e), e, score) for s, e, score in zip(starts, ends, above, strict=True)])
