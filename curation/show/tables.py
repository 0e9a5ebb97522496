"""The tables of a curation: the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from curation.corpus.risk_levels import THRESHOLDS, SourceRisk
from infra.render.page import Table

Manifest = dict[str, Any]
What = Literal["documents", "words"]

ALL = "all sources"
_WORDS = 20
_TOLD = 400  # characters of a step's report


@dataclass(frozen=True)
class Share:
    """How much of a source reaches each threshold, by one attribute."""

    corpus: str
    source: str
    attribute: str
    total: int
    shares: tuple[float, ...]


def overview(corpora: dict[str, Manifest]) -> Table:
    """What is in the artifact."""
    columns = ("corpus", "documents", "words", "characters", "spans", "removed", "bad lines")
    rows = [(name, *(corpus[key] for key in ("documents", "words", "characters", "spans")), removed_of(corpus),
             corpus["bad_lines"]) for name, corpus in corpora.items()]  # fmt: skip
    return Table("Corpora", columns, tuple(rows))


def steps(manifest: Manifest) -> Table:
    """What was done, in order, and what each step has to say."""
    rows = [(step["name"], step["describe"], "" if _is_cascade(step) else _told(step)) for step in manifest["steps"]]
    return Table("Steps", ("step", "what", "found"), tuple(rows))


def cascades(manifest: Manifest) -> Table:
    """What each cascade let through, and the recall that it reached."""
    columns = ("step", "recall asked", "reached", "from", "to", "confidence", "seen by the costly scorer", "threshold",
               "surveyed", "risky in the survey")  # fmt: skip
    rows = tuple(_cascade(step) for step in manifest["steps"] if _is_cascade(step))
    return Table("Cascades (recall of the gate, outside the survey)", columns, rows)


def _cascade(step: Manifest) -> tuple[object, ...]:
    recall, survey = step["recall"], step["survey"]
    reached = (recall["reached"], recall.get("low"), recall.get("high"), recall["confidence"])
    seen = percent(step["seen by the costly scorer"])
    return step["name"], recall["asked"], *reached, seen, step["threshold"], survey["documents"], survey["risky"]


def _is_cascade(step: Manifest) -> bool:
    return "recall" in step


def markers(manifest: Manifest) -> set[str]:
    """Scores that say something else than how risky a document is."""
    return {name for step in manifest["steps"] for name in step.get("markers", ())}


def _told(step: Manifest) -> str:
    """A step's report in one line; a long one is cut, as the manifest has it whole."""
    told = "; ".join(f"{key} {_short(value)}" for key, value in step.items() if key not in ("name", "describe"))
    return told if len(told) <= _TOLD else f"{told[:_TOLD].rpartition(' ')[0]} … (manifest.json)"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items() if inner is not None)
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value)


def removed_of(corpus: Manifest) -> int:
    """How many documents of a corpus were removed, by all steps."""
    return sum(count for reasons in corpus["removed"].values() for count in reasons.values())


def removed(corpora: dict[str, Manifest]) -> Table:
    """Removed documents by step and reason; the share is of all documents that were read."""
    rows = [
        (name, step, reason, count, count / (corpus["documents"] + removed_of(corpus)))
        for name, corpus in corpora.items()
        for step, reasons in corpus["removed"].items() for reason, count in reasons.items()
    ]  # fmt: skip
    return Table("Removed documents", ("corpus", "step", "reason", "documents", "share"), tuple(rows))


def shares(corpora: dict[str, Manifest], what: What, max_sources: int, without: set[str]) -> list[Share]:
    """Risky shares of every corpus and of its largest sources, `max_sources` of them, but for the markers `without`."""
    return [share for name, corpus in corpora.items() for source, risk in _sources(corpus, max_sources)
            for share in _shares(name, source, risk, what) if share.attribute not in without]  # fmt: skip


def _sources(corpus: Manifest, max_sources: int) -> Iterator[tuple[str, SourceRisk]]:
    """The corpus as a whole, then its sources from the largest on, unless there is only one."""
    risks = {name: SourceRisk.from_json(record) for name, record in corpus["sources"].items()}
    total = SourceRisk()
    for risk in risks.values():
        total.take(risk)
    yield ALL, total
    if len(risks) > 1:
        yield from sorted(risks.items(), key=lambda item: (-item[1].words, item[0]))[:max_sources]


def _shares(corpus: str, name: str, source: SourceRisk, what: What) -> Iterator[Share]:
    total = getattr(source, what)
    for attribute in sorted(source.levels):
        if sum(getattr(source.levels[attribute], what)):
            counts = source.at_or_above(attribute, what)
            yield Share(corpus, name, attribute, total, tuple(count / total if total else 0.0 for count in counts))


def share_table(shares: list[Share], what: What) -> Table:
    """Shares as a table: a column a threshold."""
    title = f"Share of {what} that score at least …" if what == "documents" else (
        "Share of words in a span that scores at least …")  # fmt: skip
    columns = ("corpus", "source", "attribute", what, *(f"{threshold:g}" for threshold in THRESHOLDS))
    rows = [(share.corpus, share.source, share.attribute, share.total, *map(percent, share.shares)) for share in shares]
    return Table(title, columns, tuple(rows))


def percent(share: float) -> str:
    """A share as a person reads it."""
    return "0" if share == 0 else f"{100 * share:.3g} %"


def risky_words(corpora: dict[str, Manifest]) -> Table:
    """The most frequent words that score high, veiled."""
    rows = [(name, ", ".join(f"{_veiled(word)} {count}" for word, count in corpus["risky_words"][:_WORDS]))
            for name, corpus in corpora.items() if corpus["tagger"]]  # fmt: skip
    return Table("Most frequent words that score at least 0.5", ("corpus", "words"), tuple(rows))


def _veiled(word: str) -> str:
    """A word that can be recognised and need not be read: its inner letters as dots."""
    return word if len(word) < 3 else word[0] + "·" * (len(word) - 2) + word[-1]
