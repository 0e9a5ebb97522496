"""The step `score`: every document gets the scores of a scorer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from curation.corpus.documents import batches, marks_of
from curation.scorers import card_of, loaded_scorer, weights_of
from curation.scoring.documents import scored
from curation.scoring.unscored import out_of_languages, why_unscored
from curation.steps.base import Context, Step
from curation.steps.base_unscored import tell_unscored, unscored_in
from curation.steps.options import ScoreSpec

if TYPE_CHECKING:
    from datatrove.data import Document


class Score(Step):
    """Scores by attribute, the highest over a document's passages."""

    options = ScoreSpec
    spec: ScoreSpec

    def apply(self, documents: Iterator[Document], context: Context, rank: int) -> Iterator[Document]:
        """Add the scores to each document that has some. Raises ScoringError naming the document that failed."""
        scorer, names = loaded_scorer(self.spec.scorer), self.attributes()
        languages, reasons = card_of(self.spec.scorer).languages, Counter[str]()
        together = batches(documents, scorer.documents_together)
        for batch, table in scored(together, scorer, self.spec.passage):
            for document, scores in zip(batch, table.tolist(), strict=True):
                if why := why_unscored(document.text, scorer) or out_of_languages(document.metadata, languages):
                    reasons[why] += 1
                else:
                    marks_of(document).scores.update(zip(names, scores, strict=True))
                if why and self.spec.unscored == "remove":
                    context.removed.remove(document, f"unscored: {why}")
                else:
                    yield document
        tell_unscored(context, rank, reasons)

    def inputs(self) -> dict[str, str]:
        """The scorer's weights."""
        return {"scorer": weights_of(self.spec.scorer)}

    def check(self) -> None:
        """Load the scorer here, so that missing weights are told before any worker starts."""
        loaded_scorer(self.spec.scorer)

    def attributes(self) -> tuple[str, ...]:
        """The scorer's, with the prefix."""
        return tuple(f"{self.spec.prefix}{name}" for name in loaded_scorer(self.spec.scorer).attributes)

    def report(self, context: Context) -> dict[str, Any]:
        """What scored, and how, and what it is known not to see."""
        scorer, card = loaded_scorer(self.spec.scorer), card_of(self.spec.scorer)
        about = {"languages": list(card.languages), "blind_spots": card.blind_spots}
        return {"scorer": scorer.identity, "attributes": list(self.attributes()), "passage": self.spec.passage, **about,
                "unscored": unscored_in(context)}  # fmt: skip

    def describe(self) -> str:
        """`score: profanity, passages of at most 200 characters`."""
        return f"score: {self.spec.scorer.name}, passages of at most {self.spec.passage} characters"
