"""The card of a trained tagger, as tables: what it is, how good, how well calibrated, how fast."""

from __future__ import annotations

from curation.token_models.trained import TaggerCard, read_card
from infra.artifacts.artifact import Artifact
from infra.render.html import escape, table_html
from infra.render.page import Page, Table

BLIND_SPOTS = {
    "lexical": "It knows words and their neighbours, not meaning: implicit hate, irony and reclaimed words escape it.",
    "transformer": "It reads one window of text; what is risky only in view of a thread or a speaker escapes it.",
}


def card_page(artifact: Artifact) -> Page:
    """Tables for the terminal, and the same as a page."""
    card = read_card(artifact.path)
    tables = (_facts(card, artifact), _quality(card), _calibration(card))
    warning = f"<p>{escape(BLIND_SPOTS[card.model.name])} What it was not trained on, it has not learnt.</p>"
    return Page(f"tagger {artifact.path.name}", tables, warning + "".join(map(table_html, tables)))


def _facts(card: TaggerCard, artifact: Artifact) -> Table:
    training, clean = card.training, card.clean
    gate = f"shut below a chance of {card.gate['cut']:.2f} that a stretch holds a span" if card.gate else "none"
    marked = f"{clean.marked_texts:,} of {clean.texts:,}" if clean and clean.texts else "none"
    rows = (
        ("model", card.model.name), ("attribute", card.attribute), ("threshold", card.threshold),
        ("languages", ", ".join(card.languages)), ("trained on texts", training.texts),
        ("trained on clean texts", training.clean_texts), ("gate", gate), ("clean texts held out, marked", marked),
        ("trained on words", training.words), ("of these risky", training.risky_words),
        ("words a second and core, where it was trained", artifact.counts["tokens_per_second"]),
        ("blind spots", BLIND_SPOTS[card.model.name]),
    )  # fmt: skip
    return Table("Tagger", ("what", "value"), rows)


def _quality(card: TaggerCard) -> Table:
    sets = {"validation (threshold and calibration fitted here)": card.validation, **card.tests}
    rows = []
    for name, quality in sets.items():
        calibration = quality.calibration
        rows.append((name, quality.texts, quality.words, *quality.f1, calibration.brier, calibration.ece))
    columns = ("texts of", "texts", "words", "character F1", "95 % from", "to", "Brier", "calibration error")
    return Table("Quality", columns, tuple(rows))


def _calibration(card: TaggerCard) -> Table:
    name, quality = next(iter(card.tests.items()), ("validation", card.validation))
    rows = [(tenth.words, tenth.score, tenth.risky) for tenth in quality.calibration.bins]
    return Table(f"Calibration on {name}", ("words", "mean score", "share risky"), tuple(rows))
