"""What `hormesis show` draws for one analysis: its figures, the heads that tell best, and sample generations."""

from __future__ import annotations

import polars as pl

from analysis import results
from analysis.geometry.view import geometry_tables, token_view
from analysis.statistics import frames
from analysis.statistics.benchmarks import benchmark_tables
from infra.artifacts.artifact import Artifact
from infra.render.html import blurred, escape, table_html
from infra.render.page import Page, Table

SAMPLES = 20


def analysis_page(artifact: Artifact) -> Page:
    """Tables for the terminal; the page adds the highest-scored generations, blurred."""
    table = results.read([artifact.path / results.FILE])
    tables = [_figures(frames.arms_table(table)), *benchmark_tables(table)]
    probes = results.main(table).filter(pl.col("evaluation") == results.PROBES).sort("value", descending=True).head(10)
    if len(probes):
        rows = tuple(probes.select("prompt_id", "value").rows())
        tables.append(Table("Heads that tell toxic from benign text best", ("head", "accuracy"), rows))
    tables += geometry_tables(table)
    html = "".join(map(table_html, tables)) + token_view(table) + _generations(table)
    return Page(f"analysis: {artifact.path.name}", tuple(tables), html)


def _figures(arms: pl.DataFrame) -> Table:
    rows = [(name.replace("_", " "), value) for row in arms.to_dicts() for name, value in row.items()]
    return Table("Figures", ("what", "value"), tuple((name, value) for name, value in rows if value is not None))


def _generations(table: pl.DataFrame) -> str:
    """The prompts whose continuations scored highest."""
    toxic = table.filter(pl.col("evaluation") == results.TOXICITY, pl.col("value").is_not_null())
    top = toxic.sort("value", "prompt", "sample", descending=[True, False, False]).head(SAMPLES)
    items = "".join(
        f"<h3>{value:.3f}</h3><p>{escape(prompt or '')} …</p>{blurred(generation or '')}"
        for value, prompt, generation in top.select("value", "prompt_text", "generation").iter_rows()
    )
    return f"<h2>Highest-scored continuations</h2>{items}" if items else ""
