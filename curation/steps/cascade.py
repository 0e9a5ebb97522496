"""The step `cascade`: a cheap scorer decides which documents the costly one must see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.cascade.survey import Count, Draw, SetGate, Survey, draws, gate_set, surveyed
from curation.cascade.threshold import CascadeThreshold, Tally, threshold_of
from curation.corpus.documents import batches, marks_of
from curation.scorers import Scorer, card_of, loaded_scorer, weights_of
from curation.scorers.options import AnyScorer
from curation.scoring.documents import document_scores
from curation.scoring.unscored import out_of_languages, why_unscored
from curation.steps.base import Context, Step
from curation.steps.base_unscored import tell_unscored, unscored_in
from curation.steps.options import CascadeSpec
from infra.artifacts.records import read_record
from infra.atomic import write_json
from infra.config.faults import nearest
from infra.errors import InputError
from infra.jobs.base import Job

if TYPE_CHECKING:
    from datatrove.data import Document
    from numpy.typing import NDArray


SEEN, GATE = "seen", "gate"
_TOGETHER = 2048  # documents that meet the gate together, so that those which pass fill the costly scorer's batches


class Cascade(Step):
    """Three jobs before the main pass (count, survey, gate), then every document meets the gate."""

    options = CascadeSpec
    version = 2  # what the costly scorer can tell nothing about has no scores
    spec: CascadeSpec
    reads_corpus = True

    def phases(self, context: Context) -> list[Job]:
        """Count the documents, draw some, score those, set the gate."""
        shards, folder = context.shards, context.folder
        one = (f"{context.name}: all shards",)
        return [
            context.job("count", context.documents(), Count(shards, folder)),
            context.job("draw", Draw(self.spec.survey, shards, folder), labels=one),
            context.job("survey", context.documents(), Survey(self, shards, folder)),
            context.job("gate", SetGate(self, shards, folder), labels=one),
        ]

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Add the scores. Raises ScoringError naming the document that could not be scored."""
        shard, tally, reasons = context.shards[rank], Tally(), Counter[str]()
        gate = gate_set(context.folder)
        known, audit = surveyed(context.folder, shard), draws(self.seed, "audit", shard.stem)
        row = 0
        for batch in batches(documents, _TOGETHER):
            audited = [next(audit) < self.spec.audit for _ in batch]
            whys = [self.why_unscored(document) for document in batch]
            able = [index for index, why in enumerate(whys) if not why]
            scores = {number: known[row + index] for number, index in enumerate(able) if row + index in known}
            self._give([batch[index] for index in able], gate, [audited[index] for index in able], scores, tally)
            row += len(batch)
            reasons.update(filter(None, whys))
            for document, why in zip(batch, whys, strict=True):
                if why and self.spec.unscored == "remove":
                    context.removed.remove(document, f"unscored: {why}")
                else:
                    yield document
        tell_unscored(context, rank, reasons)
        write_json(context.folder / "tallies" / f"{shard.stem}.json", asdict(tally))

    def _give(
        self,
        batch: list[Document],
        gate: CascadeThreshold,
        audited: list[bool],
        known: dict[int, tuple[float, list[float]]],
        tally: Tally,
    ) -> None:
        """Give a batch its scores. `known` are those of the survey, which are not made again."""
        new = [index for index in range(len(batch)) if index not in known]
        cheap = dict(zip(new, self.gate_scores([batch[index] for index in new]).tolist(), strict=True)) if new else {}
        look = [index for index in new if cheap[index] >= gate.threshold or audited[index]]
        costly = self.costly_scores([batch[index] for index in look]).tolist() if look else []
        costly_by_index = dict(zip(look, costly, strict=True))
        estimates = [gate.estimates[name] for name in self._costly.attributes]
        for index, document in enumerate(batch):
            at_gate, scores = known[index] if index in known else (cheap[index], costly_by_index.get(index, estimates))
            seen = index in known or index in costly_by_index
            named = zip(self.attributes(), (*scores, float(seen), at_gate), strict=True)
            marks_of(document).scores.update(named)
            self._count(tally, index in known, at_gate >= gate.threshold, seen, scores)

    def _count(self, tally: Tally, surveyed: bool, above: bool, seen: bool, scores: list[float]) -> None:
        tally.documents += 1
        tally.surveyed += surveyed
        if surveyed:
            return
        risky = seen and self._is_risky(scores)
        tally.above += above
        tally.risky += above and risky
        tally.below += not above
        tally.audited += seen and not above
        tally.missed += risky and not above

    def _is_risky(self, scores: list[float]) -> bool:
        return max(scores[index] for index in self._columns()) >= self.spec.at_or_above

    def _columns(self) -> list[int]:
        """Which of the costly scorer's attributes decide."""
        attributes = self._costly.attributes
        return [attributes.index(name) for name in self.spec.risky or attributes]

    @property
    def _costly(self) -> Scorer:
        return loaded_scorer(self.spec.scorer)

    @property
    def seed(self) -> int:
        """Of the draws of survey and audit."""
        return int(self.spec.seed)

    @property
    def costly_attributes(self) -> int:
        """How many there are."""
        return len(self._costly.attributes)

    def why_unscored(self, document: Document) -> str:
        """Why the costly scorer can tell nothing about a document; '' where it can."""
        return _why(document, self.spec.scorer)

    def gate_scores(self, batch: list[Document]) -> NDArray[np.float32]:
        """[documents]: the highest of the cheap scorer's scores; 1 for what it cannot tell anything about."""
        gate = loaded_scorer(self.spec.gate)
        scores = document_scores(batch, gate, self.spec.passage).max(axis=1)
        scores[[bool(_why(document, self.spec.gate)) for document in batch]] = 1.0
        return scores

    def costly_scores(self, batch: list[Document]) -> NDArray[np.float32]:
        """[documents, attributes of the costly scorer]."""
        return document_scores(batch, self._costly, self.spec.passage)

    def gate_of(self, gate: NDArray[np.float32], costly: NDArray[np.float32], is_census: bool) -> CascadeThreshold:
        """The gate that a survey sets. One of all documents, a census, leaves nothing to decide: all have been seen."""
        names = self._costly.attributes
        risky = costly[:, self._columns()].max(axis=1, initial=0) >= self.spec.at_or_above
        threshold = 0.0 if is_census else threshold_of(gate, risky, self.spec.recall, self.spec.confidence)
        below = costly[gate < threshold]
        means = below.mean(axis=0, dtype=np.float64).tolist() if len(below) else [0.0] * len(names)
        return CascadeThreshold(threshold, len(gate), int(risky.sum()), dict(zip(names, means, strict=True)))

    def inputs(self) -> dict[str, str]:
        """The weights of both scorers."""
        return {"gate": weights_of(self.spec.gate), "scorer": weights_of(self.spec.scorer)}

    def check(self) -> None:
        """Load both scorers here, so that missing weights are told before any worker starts. Raises InputError for
        an attribute that the costly scorer does not have.
        """
        loaded_scorer(self.spec.gate)
        known = self._costly.attributes
        for name in self.spec.risky:
            if name not in known:
                raise InputError(f'cascade: risky: the scorer {self.spec.scorer.name} has no attribute "{name}"; '
                                 f"there are: {', '.join(known)}{nearest(name, known)}")  # fmt: skip

    def attributes(self) -> tuple[str, ...]:
        """The costly scorer's, then `seen` and `gate`, all with the prefix."""
        return tuple(f"{self.spec.prefix}{name}" for name in (*self._costly.attributes, SEEN, GATE))

    def report(self, context: Context) -> dict[str, Any]:
        """The gate, what share it let through, and the recall that it reached."""
        if not context.shards:
            return {}
        gate, tally = gate_set(context.folder), Tally()
        for shard in context.shards:
            tally.take(read_record(Tally, context.folder / "tallies" / f"{shard.stem}.json"))
        looked_at = tally.surveyed + tally.above + tally.audited
        recall, card = tally.recall(self.spec.confidence), card_of(self.spec.scorer)
        return {
            "markers": [f"{self.spec.prefix}{SEEN}"],
            "languages": list(card.languages), "blind_spots": card.blind_spots,
            "gate": loaded_scorer(self.spec.gate).identity, "scorer": self._costly.identity,
            "recall": {"asked": self.spec.recall, **(recall or {"reached": None}), "confidence": self.spec.confidence},
            "threshold": gate.threshold, "estimates": gate.estimates,
            "survey": {"documents": gate.surveyed, "risky": gate.risky},
            "outside the survey": asdict(tally),
            "unscored": unscored_in(context),
            "seen by the costly scorer": looked_at / tally.documents if tally.documents else 1.0,
        }  # fmt: skip

    def describe(self) -> str:
        """`cascade: profanity before detoxify, recall 0.99`."""
        return f"cascade: {self.spec.gate.name} before {self.spec.scorer.name}, recall {self.spec.recall:g}"


def _why(document: Document, scorer: AnyScorer) -> str:
    """Why a scorer can tell nothing about a document; '' where it can."""
    why = why_unscored(document.text, loaded_scorer(scorer))
    return why or out_of_languages(document.metadata, card_of(scorer).languages)
