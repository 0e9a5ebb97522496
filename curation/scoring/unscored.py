"""Texts that a scorer must not be asked about: its answer would be a number without meaning, and a low one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import DataError

if TYPE_CHECKING:
    from curation.scorers import Scorer
    from infra.stages.stage import Workspace

FEWEST_KNOWN = 0.3
"""Share of known words below which a text is not in a language that the scorer was taught."""
MAX_UNSCORED = 0.5
"""Share of a training's texts above which its teacher is the wrong one for them."""
_SURE = 0.65  # probability of a language, as the step `language` writes it, above which it counts


def why_unscored(text: str, scorer: Scorer) -> str:
    """Why `text` cannot be scored; '' where it can."""
    if why := why_not_text(text):
        return why
    known, words = scorer.known_words(text)
    if words and known < FEWEST_KNOWN * words:
        return "words unknown to the scorer"
    return ""


def why_not_text(text: str) -> str:
    """Why no scorer can tell anything about `text`; '' where one may."""
    return "NUL characters: not text, or in another encoding" if "\0" in text else ""


def out_of_languages(metadata: Mapping[str, Any], languages: tuple[str, ...]) -> str:
    """Why a document that the step `language` has seen cannot be scored by a scorer of `languages`; '' where it can."""
    language, score = metadata.get("language"), metadata.get("language_score")
    if not languages or not isinstance(language, str) or not isinstance(score, float) or score < _SURE:
        return ""
    return "" if language in languages else f"language {language}"


@dataclass
class LeftOut:
    """Texts that a teacher can tell nothing about, and from which nothing is learnt, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    texts: int = 0

    def takes(self, why: str) -> bool:
        """Count a text and why it has no score; whether it is learnt from."""
        self.texts += 1
        self.reasons.update([why] if why else [])
        return not why

    def tell(self, teacher: str, workspace: Workspace) -> None:
        """Note what is left out. Raises DataError where it is more than half."""
        count = self.reasons.total()
        if not count:
            return
        told = (f"{teacher} can tell nothing about {count:,} of {self.texts:,} texts ("
                + ", ".join(f"{number:,} {why}" for why, number in sorted(self.reasons.items())) + ")")  # fmt: skip
        if count > MAX_UNSCORED * self.texts:
            raise DataError(f"{told}, and at most a share of {MAX_UNSCORED:g} may be left out; give texts in the "
                            "languages of the teacher, or a teacher of theirs")  # fmt: skip
        workspace.note(f"{told}; they are left out")
