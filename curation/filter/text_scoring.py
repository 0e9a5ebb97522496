"""What `hormesis score` can tell of a text, line by line or as a server: scores, or why there are none, and spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.corpus.records import Span
from curation.scorers import Scorer, card_of, loaded_scorer
from curation.scorers.options import AnyScorer
from curation.scoring.documents import text_scores
from curation.scoring.unscored import why_not_text, why_unscored
from curation.taggers import Tagger, make_tagger
from curation.taggers.options import AnyTagger
from curation.text.spans import joined
from infra.config.document import YamlDocument
from infra.config.faults import nearest
from infra.config.spec import Spec, validate
from infra.config.yaml_reader import yaml_value
from infra.errors import ConfigError, InputError, Problem

THRESHOLD = 0.5
"""From which score spans are given where no tagger was trained, and so no threshold fitted."""
_EVERY = 1e-12  # floor of a tagger that is to give every word
_TOGETHER = 256  # texts that are scored together, without a scorer that asks for more
_TRAINED = "tagger:"


class CommandLineSections(Spec):
    """A scorer and a tagger as they stand on the command line."""

    scorer: AnyScorer | None = None
    tagger: AnyTagger | None = None


@dataclass(frozen=True)
class ScoredText:
    """Scores by attribute; where a text can have none, `unscored` says why. `tagged` None: nothing is known of risky
    stretches.
    """

    scores: dict[str, float]
    unscored: str
    tagged: list[Span] | None


@dataclass(frozen=True)
class TextScoring:
    """Scores texts. `scorer` None: a text's score is that of its riskiest span. `tagger` None: no spans."""

    scorer: Scorer | None
    tagger: Tagger | None
    attribute: str
    """Whose spans lines are given."""
    passage: int
    threshold: float | None
    """Spans below it are left out and neighbours joined; None: every span as it is."""
    languages: tuple[str, ...] = ()
    """Languages (ISO 639-1) that the scores mean something in; empty where nobody has said."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """What a text has scores of."""
        return self.scorer.attributes if self.scorer else (self.attribute,)

    @property
    def identity(self) -> str:
        """What scores."""
        return self.scorer.identity if self.scorer else f"tagger of {self.attribute}"

    @property
    def together(self) -> int:
        """Texts that are scored together, at most."""
        return self.scorer.documents_together if self.scorer else _TOGETHER

    def score(self, texts: Sequence[str], with_spans: bool) -> list[ScoredText]:
        """What is known of each text. Raises ScoringError."""
        tagged = self.tagger.tag(list(texts)) if self.tagger and (with_spans or not self.scorer) else None
        scores = self._scores(texts, tagged)
        whys = [self._why_unscored(text) for text in texts]
        spans = tagged if tagged and with_spans else [None] * len(texts)
        return [
            ScoredText(one, why, None if why or not self._can_tag(text) else found)
            for text, one, why, found in zip(texts, scores, whys, spans, strict=True)
        ]

    def shown(self, text: str, tagged: list[Span], attribute: str) -> list[Span]:
        """The spans of an attribute at the threshold, neighbours joined."""
        ours = [span for span in tagged if span.attribute == attribute]
        return ours if self.threshold is None else joined(text, ours, self.threshold)

    def _why_unscored(self, text: str) -> str:
        return why_unscored(text, self.scorer) if self.scorer else why_not_text(text)

    def _can_tag(self, text: str) -> bool:
        """Whether the tagger can tell which stretches of a text with scores are risky."""
        if self.tagger is None:
            return False
        return self.tagger.scorer is self.scorer or not self.tagger.why_unscored(text, {})

    def _scores(self, texts: Sequence[str], tagged: list[list[Span]] | None) -> list[dict[str, float]]:
        """By attribute, the highest of each text's passages."""
        if self.scorer is None:
            assert tagged is not None
            return [{self.attribute: max((span.score for span in spans), default=0.0)} for spans in tagged]
        table = text_scores(texts, self.scorer, self.passage)
        return [dict(zip(self.scorer.attributes, row, strict=True)) for row in table.tolist()]


def prepare_scoring(
    scorer: str, spans: bool, all_spans: bool, tagger: str, attribute: str | None, passage: int
) -> TextScoring:
    """Load what `--scorer` names: a scorer, `tagger:DIR`, or a section such as `{name: detoxify, model: original}`.

    Raises ConfigError, InputError, UnavailableError, ArtifactError.
    """
    if scorer.startswith(_TRAINED):
        return _trained(scorer.removeprefix(_TRAINED), all_spans)

    section = section_of(scorer)
    sections = _checked(scorer=section)
    assert sections.scorer is not None
    loaded = loaded_scorer(sections.scorer)
    chosen = attribute or loaded.attributes[0]
    if chosen not in loaded.attributes:
        known = ", ".join(loaded.attributes) + nearest(chosen, loaded.attributes)
        raise InputError(f"--attribute {chosen}: {loaded.identity} has {known}")
    marker = _checked(tagger=_with_scorer(section_of(tagger), section, chosen, all_spans)).tagger if spans else None
    threshold = None if all_spans else THRESHOLD
    languages = card_of(sections.scorer).languages
    return TextScoring(loaded, make_tagger(marker) if marker else None, chosen, passage, threshold, languages)


def _trained(folder: str, all_spans: bool) -> TextScoring:
    from curation.token_models.trained import read_card

    card = read_card(Path(folder))
    sections = _checked(tagger={"name": card.model.name, "path": folder, "keep_at_or_above": _EVERY})
    assert sections.tagger is not None
    threshold = None if all_spans else card.threshold
    return TextScoring(None, make_tagger(sections.tagger), card.attribute, 0, threshold, card.languages)


def _with_scorer(tagger: dict[str, Any], scorer: dict[str, Any], attribute: str, all_spans: bool) -> dict[str, Any]:
    """The tagger's section, on top of the scorer that was asked for."""
    floor = _EVERY if all_spans else THRESHOLD
    of_one = {"attribute": attribute} if tagger.get("name") == "attribution" else {}
    return {"scorer": scorer, "keep_at_or_above": floor, **of_one, **tagger}


def section_of(argument: str) -> dict[str, Any]:
    """What an option names: a name, or a mapping in YAML's flow style. Raises ConfigError."""
    try:
        loaded = yaml_value(argument)
    except ConfigError:
        loaded = None
    if isinstance(loaded, str):
        return {"name": loaded}
    if not isinstance(loaded, dict):
        advice = "write a name, or a section like {name: ..., key: value}"
        raise ConfigError([Problem("command line", argument, advice)])
    return loaded


def _checked(**sections: dict[str, Any]) -> CommandLineSections:
    """The sections against their models; relative paths are relative to the working folder."""
    checked = validate(YamlDocument(Path("command line"), sections, {(): "command line"}), CommandLineSections)
    assert isinstance(checked, CommandLineSections)
    return checked
