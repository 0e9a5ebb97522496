"""The page of a curation, and its tables for the terminal."""

from __future__ import annotations

from typing import Any

from curation.corpus.tagged import TaggedCorpus, read_manifest
from curation.show import drawings, samples, tables
from curation.show.tables import Manifest, What
from infra.artifacts.artifact import Artifact
from infra.errors import InputError
from infra.render.html import escape, table_html
from infra.render.page import Page

_IN_TERMINAL, _ON_PAGE = 5, 40  # sources of a corpus
_KINDS: tuple[What, ...] = ("documents", "words")
_WHAT_IS_A_SHARE = (
    "A document's score is the highest of its passages. A word counts at a threshold when it lies in a span that "
    "scores at least as much; scores below a tagger's floor are not stored, so columns below it repeat the floor's."
)


def page_of(artifact: Artifact) -> Page:
    """Tables for the terminal; the page adds histograms, bars, every source and heat-maps. Raises InputError."""
    manifest = read_manifest(artifact.path)
    if "steps" not in manifest:
        raise InputError(f"{artifact.path}: made by an earlier hormesis, which this one does not show; run it again")
    corpora: dict[str, Manifest] = manifest["corpora"]
    markers = tables.markers(manifest)
    general = [tables.overview(corpora), tables.steps(manifest), tables.cascades(manifest)]
    risky = [tables.share_table(tables.shares(corpora, what, _IN_TERMINAL, markers), what) for what in _KINDS]
    rest = [tables.removed(corpora), tables.risky_words(corpora)]
    on_page = (table for table in (*general, *rest) if table.rows)
    body = "".join(map(table_html, on_page)) + f"<p>{_WHAT_IS_A_SHARE}</p>"
    body += "".join(_corpus(artifact, name, corpus, markers) for name, corpus in corpora.items())
    shown = tuple(table for table in (*general, *risky, *rest) if table.rows)
    return Page(f"curation {artifact.config['name']}", shown, body)


def _corpus(artifact: Artifact, name: str, corpus: dict[str, Any], markers: set[str]) -> str:
    """A corpus's part of the page."""
    histograms = [drawings.histogram(attribute, counts) for attribute, counts in corpus["histogram"].items()
                  if attribute not in markers]  # fmt: skip
    sections = [f"<h2>{escape(name)}</h2>", drawings.fate(corpus), "<div class=histograms>", *histograms, "</div>"]
    for what in _KINDS:
        shares = tables.shares({name: corpus}, what, _ON_PAGE, markers)
        if shares:
            left_out = len(corpus["sources"]) - _ON_PAGE
            more = f"; the {_ON_PAGE} largest sources, {left_out} more are left out" if left_out > 0 else ""
            sections.append(drawings.shaded(shares, what, tables.share_table([], what).title + more))
    tagged = TaggedCorpus.open(artifact.path, name)
    sections += ["<h3>Samples, the riskiest first</h3>", samples.remaining(tagged, markers)]
    if gone := samples.removed(artifact.path, name):
        sections += ["<h3>Removed, one for each reason</h3>", gone]
    return "".join(sections)
