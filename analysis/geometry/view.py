"""How one model's geometry is shown: figures by layer, and labelled texts with every token coloured by a probe's score.

Toxic text is veiled until it is asked for; colours, which are no words, are seen at once.
"""

from __future__ import annotations

import polars as pl

from analysis.results import PROBES, TOKENS
from infra.render.html import escape, heatmap
from infra.render.page import Table

_HOW_TO_READ = (
    "A token's colour is the probability of being toxic that the most accurate heads' probes, fitted without these "
    "documents, would give if the text ended there: it is of the text so far, not of the word alone."
)


def geometry_tables(results: pl.DataFrame) -> list[Table]:
    """Means over heads and layers of what was measured beside accuracy, and entanglement by layer."""
    rows = results.filter(pl.col("evaluation") == PROBES, pl.col("instance").is_not_null())
    means = rows.filter(pl.col("instance") != TOKENS).group_by("instance", maintain_order=True)
    figures = means.agg(pl.col("value").mean().alias("mean"), pl.col("value").min().alias("least"),
                        pl.col("value").max().alias("greatest"), pl.len().alias("of"))  # fmt: skip
    entangled = rows.filter(pl.col("instance").str.starts_with("entanglement_"))
    texts = rows.filter(instance=TOKENS).group_by("prompt_id", "group", maintain_order=True)
    seen = texts.agg(pl.col("value").mean().alias("mean"), pl.col("value").last().alias("last"))
    tables = (
        Table("Geometry", ("figure", "mean", "least", "greatest", "heads or layers"), _rows(figures)),
        Table("Entanglement by layer", ("estimator", "where", "E"),
              _rows(entangled.select(pl.col("instance").str.strip_prefix("entanglement_"), "prompt_id", "value"))),
        Table("Texts by the probes", ("text", "it is", "mean over tokens", "at the last token"), _rows(seen)),
    )  # fmt: skip
    return [table for table in tables if table.rows]


def _rows(frame: pl.DataFrame) -> tuple[tuple[object, ...], ...]:
    return tuple(frame.rows())


def token_view(results: pl.DataFrame) -> str:
    """The scored texts as heat-maps; '' where there are none."""
    tokens = results.filter(pl.col("evaluation") == PROBES, pl.col("instance") == TOKENS)
    texts = tokens.sort("prompt", "sample").partition_by("prompt", maintain_order=True)
    if not texts:
        return ""
    return f"<h2>Probes over texts</h2><p>{escape(_HOW_TO_READ)}</p>{''.join(map(_text, texts))}"


def _text(tokens: pl.DataFrame) -> str:
    """One text: its pieces put together again."""
    spans, end = [], 0
    for piece, score in tokens.select("generation", "value").iter_rows():
        start, end = end, end + len(piece)
        spans.append((start, end, score))
    text = "".join(tokens["generation"])
    caption = escape(f"{tokens['prompt_id'][0]}: labelled {tokens['group'][0]}, {tokens['value'][-1]:.2f} at its end")
    return f"<h4>{caption}</h4>{heatmap(text, spans)}"
