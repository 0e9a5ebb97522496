"""The stage `distillation`: texts and a teacher in; the student and `card.json`, what it is worth as a gate, out."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.models.student import Student, fit
from curation.scorers import Scorer, load_scorer, weights_of
from curation.scoring.resolve import resolved
from curation.scoring.unscored import LeftOut, why_unscored
from curation.sources.bad_lines import BadLines, Reader
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from curation.text.passages import passages
from curation.training.distillation.spec import DistillationSpec
from curation.training.held_out import is_held_out
from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json
from infra.errors import InputError
from infra.render.html import table_html
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace

if TYPE_CHECKING:
    from numpy.typing import NDArray


CARD = "card.json"
RISKY = 0.5
"""The teacher's score from which a piece counts as risky in the card."""
_RECALLS = (0.9, 0.95, 0.99)
_BATCH = 1024


@dataclass(frozen=True, kw_only=True)
class GateWorth:
    """What the student is worth as a gate for one attribute: rank correlation with the teacher, risky pieces, and the
    share of pieces that a gate lets through at some recalls of them. None where there is nothing to tell.
    """

    rank_correlation: float | None
    risky: int
    passes_at_recall: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class StudentCard:
    """card.json: the teacher, pieces of text that were learnt from and held out, and what it is worth by attribute."""

    teacher: str
    learnt_from: int
    held_out: int
    attributes: dict[str, GateWorth]


def identity(spec: DistillationSpec) -> Identity:
    """Settings, content of the texts, weights of the teacher."""
    definite = resolved(spec)
    contents = {f"sources[{number}]": digest(content_of(source)) for number, source in enumerate(spec.sources)}
    return Identity(definite.identity(), {"scorer": weights_of(definite.scorer), **contents})


def run(spec: DistillationSpec, workspace: Workspace) -> dict[str, Any]:
    """Draw, let the teacher score, fit, judge, write. Raises InputError, UnavailableError, DataError, ScoringError."""
    spec = resolved(spec)
    teacher = load_scorer(spec.scorer)
    bad = BadLines(spec.max_bad_share)
    texts = drawn(spec, bad.read)
    bad.weigh("sources", workspace)
    texts = _scorable(teacher, texts, workspace)
    test = [is_held_out(text, spec.held_out, spec.seed) for text in texts]
    if all(test) or not any(test):
        raise InputError(f"{sum(test)} of {len(texts)} texts are held out; give more texts, or another held_out")
    scores = _taught(teacher, texts, workspace)
    seen = [number for number, held in enumerate(test) if not held]
    held = [number for number, held in enumerate(test) if held]
    known = [texts[number] for number in seen]
    student = fit(known, scores[seen], teacher.attributes, spec.ngrams, spec.hash_bits, spec.penalty)
    student.save(workspace.path)
    worth = judge(student, [texts[number] for number in held], scores[held])
    card = StudentCard(teacher=teacher.identity, learnt_from=len(seen), held_out=len(held), attributes=worth)
    write_json(workspace.path / CARD, to_json(card))
    workspace.note(f"{_speed(student, texts):,.0f} texts a second on one core")
    return {"texts": len(texts), "learnt_from": len(seen), "held_out": len(held), "teacher": teacher.identity}


def drawn(spec: DistillationSpec, read: Reader = read_source) -> list[str]:
    """At most `texts` distinct pieces, drawn uniformly and by their content: their order does not matter."""
    pieces: dict[str, str] = {}
    for piece in _pieces(spec, read):
        pieces[digest([spec.seed, "draw", piece])] = piece
        if len(pieces) == 2 * spec.texts:  # never more than this many in memory
            pieces = dict(heapq.nsmallest(spec.texts, pieces.items()))
    return [piece for _, piece in heapq.nsmallest(spec.texts, pieces.items())]


def _pieces(spec: DistillationSpec, read: Reader) -> Iterator[str]:
    for source in spec.sources:
        for document in read(source, None, None):
            yield from passages(document.text, spec.passage)


def _scorable(teacher: Scorer, texts: list[str], workspace: Workspace) -> list[str]:
    """Those that the teacher can tell something about: of others a student would learn that they are harmless."""
    left_out = LeftOut()
    scorable = [text for text in texts if left_out.takes(why_unscored(text, teacher))]
    left_out.tell(teacher.identity, workspace)
    return scorable


def _taught(teacher: Scorer, texts: list[str], workspace: Workspace) -> NDArray[np.float32]:
    """The teacher's scores [texts, attributes]."""
    batch_scores = []
    with workspace.progress(f"scoring with {teacher.identity}", len(texts), "texts") as advance:
        for start in range(0, len(texts), _BATCH):
            batch_scores.append(teacher.score(texts[start : start + _BATCH]))
            advance(len(batch_scores[-1]))
    return np.concatenate(batch_scores)


def judge(student: Student, texts: list[str], scores: NDArray[np.float32]) -> dict[str, GateWorth]:
    """By attribute, on texts that were held out and the teacher's `scores` [texts, attributes] of them."""
    from scipy.stats import spearmanr

    guesses = student.scores(texts)
    worth = {}
    for column, name in enumerate(student.attributes):
        risky = scores[:, column] >= RISKY
        rising = np.sort(guesses[risky, column])
        rank = spearmanr(guesses[:, column], scores[:, column]).statistic if np.ptp(scores[:, column]) else np.nan
        passes = {f"{recall:g}": float((guesses[:, column] >= rising[int(len(rising) * (1 - recall))]).mean())
                  for recall in _RECALLS if len(rising)}  # fmt: skip
        correlation = None if np.isnan(rank) else float(rank)
        worth[name] = GateWorth(rank_correlation=correlation, risky=len(rising), passes_at_recall=passes)
    return worth


def _speed(student: Student, texts: list[str]) -> float:
    """Pieces a second of processor time."""
    start = time.process_time()
    student.scores(texts[:2000])
    return min(len(texts), 2000) / max(time.process_time() - start, 1e-9)


def plan(spec: DistillationSpec) -> Plan:
    """Which texts, which teacher."""
    rows = tuple((source.path,) for source in spec.sources)
    note = (
        f"{spec.scorer.name} scores at most {spec.texts:,} pieces of {spec.passage} characters; fitting takes seconds"
    )
    return Plan(f"distillation {spec.name}", (Table("Texts", ("source",), rows),), (note,))


def show(artifact: Artifact) -> Page:
    """What the student is worth."""
    card = read_record(StudentCard, Path(artifact.path, CARD))
    recalls = [f"{recall:g}" for recall in _RECALLS]
    columns = ("attribute", "rank correlation", "risky", *(f"passes at recall {recall}" for recall in recalls))
    rows = tuple((name, worth.rank_correlation, worth.risky, *map(worth.passes_at_recall.get, recalls))
                 for name, worth in card.attributes.items())  # fmt: skip
    title = f"Against {card.teacher}, on {card.held_out:,} pieces held out"
    table = Table(title, columns, rows)
    return Page(f"distillation {artifact.config['name']}", (table,), table_html(table))


DISTILLATION: Stage[DistillationSpec] = Stage("distillation", 2, DistillationSpec, identity, run, plan, show)
