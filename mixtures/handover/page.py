"""The page of a mixture: composition, risk of each component, evaluation sets, overlap, and samples as heat-maps."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from tokenizers import Tokenizer

from infra.artifacts.artifact import Artifact
from infra.render.html import escape, heatmap, table_html
from infra.render.page import Page, Table
from mixtures.contamination.hits import tables_of
from mixtures.formats import risk
from mixtures.formats.file_names import DOCUMENTS
from mixtures.handover.drawings import composition_bar, risk_histogram
from mixtures.overlap.measure import table_of
from mixtures.reading.built import BuiltMixture, TokenFiles

_RISKIEST, _HARMLESS = 3, 1  # samples of a component, among its first documents
_AMONG = 500
_TOKENS = 160  # shown of each
_BANDS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def show_mixture(artifact: Artifact) -> Page:
    """Tables for the terminal, and the page's body: drawings, the same tables, samples behind a veil."""
    mixture = BuiltMixture.open(artifact.path, verify=False)
    records = mixture.manifest.components
    tables = (composition(mixture), _bands(mixture), *checks(mixture))
    histograms = "".join(risk_histogram(record, mixture.risk) for record in records if record.tokens)
    samples = "".join(_samples(mixture, files) for files in mixture.components)
    body = f"{composition_bar(records)}{table_html(tables[0])}<div class=histograms>{histograms}</div>"
    body += "".join(map(table_html, tables[1:])) + f"<h2>Samples, the riskiest first</h2>{samples}"
    return Page(f"mixture {artifact.path.name}", tables, body)


def composition(mixture: BuiltMixture) -> Table:
    """A row a component: what it takes, how much of it, how risky."""
    rows = []
    for record in mixture.manifest.components:
        rows.append(
            (
                record.name,
                record.corpus,
                record.where or "",
                record.tokens,
                f"{record.tokens / mixture.tokens:.2%}",
                record.documents,
                round(record.document_tokens / record.available, 3) if record.available else 0,
                _share(record.risky_tokens, record.tokens),
                record.held_out.tokens,
            )
        )
    columns = ("component", "corpus", "where", "tokens", "share", "documents", "repetitions", "risky ≥ 0.5", "held out")
    return Table(f"Composition of {mixture.tokens:,} tokens", columns, tuple(rows))


def checks(mixture: BuiltMixture) -> tuple[Table, ...]:
    """Spelled end-of-texts, evaluation sets, and the overlap; nothing of what is not there or not asked for."""
    manifest = mixture.manifest
    sets = () if manifest.decontamination is None else tables_of(manifest.decontamination)
    overlap = () if manifest.overlap is None else (table_of(manifest.overlap),)
    return (*_spelled(mixture), *sets, *overlap)


def _spelled(mixture: BuiltMixture) -> tuple[Table, ...]:
    """Which components spell the end-of-text in their texts; nothing where none does."""
    rows = tuple(
        (record.name, record.eos_spelled.documents, record.eos_spelled.times)
        for record in mixture.manifest.components
        if record.eos_spelled is not None and record.eos_spelled.times
    )
    title = f"Documents that spell {mixture.facts.eos}, which is broken apart there"
    return (Table(title, ("component", "documents", "times"), rows),) if rows else ()


def _bands(mixture: BuiltMixture) -> Table:
    """Share of each component's tokens in bands of the risk score."""
    edges = [risk.LOWEST, *(risk.threshold_byte(band) for band in _BANDS), risk.STRUCTURAL]
    labels = [f"< {_BANDS[0]}", *(f"{a}-{b}" for a, b in pairwise(_BANDS)), f"≥ {_BANDS[-1]}"]
    rows: list[tuple[object, ...]] = []
    for record in mixture.manifest.components:
        counts = np.asarray(record.risk_histogram)
        bands = [int(counts[first:last].sum()) for first, last in pairwise(edges)]
        shares = [_share(count, record.tokens) for count in (record.unscored, *bands)]
        rows.append((record.name, *shares))
    return Table(f"Tokens by {mixture.risk or 'risk'} score", ("component", "unscored", *labels), tuple(rows))


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else "-"


def _samples(mixture: BuiltMixture, files: TokenFiles) -> str:
    """Heat-maps of the riskiest among a component's first documents, and of the most harmless."""
    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / "tokenizer.json"))
    tokens, levels = files.open()
    told = ds.dataset(mixture.path / DOCUMENTS).scanner(filter=ds.field("component") == files.name)
    documents = told.head(_AMONG).to_pylist()
    highest = [int(_scored(levels.document(index)).max()) for index in range(len(documents))]
    order = sorted(range(len(documents)), key=lambda index: (-highest[index], index))
    shown = [*order[:_RISKIEST], *order[_RISKIEST:][-_HARMLESS:]]
    drawn = (_origin_line(documents[index]) + _heatmap(tokenizer, tokens.document(index), levels.document(index))
             for index in shown)  # fmt: skip
    return f"<h3>{files.name}</h3>" + "".join(drawn)


def _origin_line(document: dict[str, Any]) -> str:
    """Where a sample comes from."""
    origin = f"{document['corpus']}/{document['shard']}, row {document['row']}"
    counts = f"{document['tokens']:,} tokens, {document['risky_tokens']:,} of them risky"
    return f"<h4>{escape(document['id'])}</h4><p>{escape(origin)}; {counts}</p>"


def _scored(levels: risk.Bytes) -> risk.Bytes:
    """Risk bytes in which structural tokens are not the riskiest."""
    return np.where(levels == risk.STRUCTURAL, risk.UNSCORED, levels).astype(np.uint8)


def _heatmap(tokenizer: Any, tokens: np.ndarray[Any, Any], levels: risk.Bytes) -> str:
    """Up to _TOKENS tokens around the riskiest one, coloured by risk."""
    first = max(0, int(np.argmax(_scored(levels))) - _TOKENS // 2)
    ids = tokens[first : first + _TOKENS].tolist()
    # A code point may lie over several tokens, so pieces are found by decoding ever longer beginnings.
    ends = [len(tokenizer.decode(ids[: count + 1], skip_special_tokens=False)) for count in range(len(ids))]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    scores = np.nan_to_num(risk.decode(levels[first : first + _TOKENS]))
    starts = [0, *ends[:-1]]
    above = [float(score) if level > risk.LOWEST else 0.0 for score, level in zip(scores, levels[first:], strict=False)]
    return heatmap(text, [(min(s, e), e, score) for s, e, score in zip(starts, ends, above, strict=True)])
