"""How well each tagger finds the words that people marked, on comments that nothing was learnt from, and what it marks
in clean text: character F1 on SemEval-2021 toxic spans, on comments of the ACL 2022 release and on HateXplain; false
alarms on clean_modern and on identity words.

    python benchmarks/scoring/token_quality.py [--data ../shared/data] [--out runs/token_quality] [--without
    transformer]

Trains what it needs (lexical taggers a minute each, the transformer about 15 minutes on one core, a classifier for
gradient x input about 7, and as long to ask it), keeps it in --out, and writes --out/token_quality.md. Trained
taggers bring their own threshold; the others' are fitted on the validation texts held out of SemEval's train split.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from classifier import classifier
from identity_words import SENTENCES, WORDS
from loguru import logger
from numpy.typing import NDArray
from token_texts import CLEAN_HELD, held_clean, stories, write_clean, write_hatexplain, write_unseen

from curation.corpus.records import Span
from curation.scorers.options import ProfanitySpec, TransformersSpec
from curation.taggers import Tagger, make_tagger
from curation.taggers.options import AttributionSpec, LexicalTaggerSpec, TransformerTaggerSpec, WordsSpec
from curation.text.words import word_spans
from curation.token_models.labels import LabelledText
from curation.token_models.trained import read_card
from curation.training.intervals import BootstrapEstimate, estimate
from curation.training.tagger.examples import read_examples
from curation.training.tagger.quality import best_threshold, f1_of
from curation.training.tagger.spec import TaggerTrainingSpec
from curation.training.tagger.stage import TAGGER
from curation.training.tagger.train import split
from infra.atomic import write_text
from infra.config.spec import load_spec
from infra.stages.stage import run_stage

BENCHMARKS = Path(__file__).parents[1]
_EVERY = 1e-6  # floor: thresholds are fitted, so every word must have its score
GATES = {"lexical": 0.645, "transformer": 0.68}
"""Character F1 on the trial split below which something has gone wrong."""


_STORY_WORDS = (*WORDS, "eat", "food", "family")
"""Identity words, and words of stories that a tagger of comments has been seen to mark."""


@dataclass(frozen=True)
class Texts:
    """What is measured on: labelled texts by name, clean ones, and clean ones by a word that stands in them."""

    labelled: dict[str, list[LabelledText]]
    clean: list[str]
    by_word: dict[str, list[str]]


@dataclass(frozen=True)
class Row:
    """One tagger's figures; `f1` by name of the texts, `marked` [texts, marked] by word."""

    name: str
    threshold: float
    f1: dict[str, BootstrapEstimate]
    words_per_second: float
    clean_texts: BootstrapEstimate
    clean_words: BootstrapEstimate
    sentences: BootstrapEstimate
    by_word: dict[str, tuple[int, int]]


def main() -> None:
    """Train, measure, write the table, and fail below a gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=BENCHMARKS.parents[1] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("runs/token_quality"))
    parser.add_argument("--without", nargs="*", default=[], choices=["lexical", "transformer", "gradient"])
    asked = parser.parse_args()
    logger.disable("datatrove")  # its readers announce every file
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = list(measure(asked.data.resolve(), asked.out, asked.without))
    report = table(rows) + false_alarms(rows) + words_marked(rows)
    write_text(asked.out / "token_quality.md", report)
    print(report)
    low = [row.name for row in rows if row.f1["trial"].value < GATES.get(row.name, 0.0)]
    if low:
        raise SystemExit(f"below its gate: {', '.join(low)}")


def measure(data: Path, out: Path, without: list[str]) -> Iterator[Row]:
    """A row for each tagger."""
    semeval = data / "toxic_spans" / "semeval2021_{}.jsonl.gz"
    train, trial = (str(semeval).format(name) for name in ("train", "trial"))
    hatexplain = write_hatexplain(data / "hatexplain" / "hatexplain.jsonl.gz", out)
    clean = str(write_clean(data, out))
    spec = tagger_spec("lexical", train)
    _, validation = split(list(read_examples(spec.learn_from, spec.attribute)), spec.validation, spec.seed)
    texts = texts_of(spec, data, out, trial, str(hatexplain["val"]))

    def row(name: str, tagger: Callable[[], Tagger], threshold: float | None = None) -> Row:
        return judged(name, tagger(), validation, texts, threshold)

    words = WordsSpec(scorer=ProfanitySpec(), keep_at_or_above=_EVERY)
    yield row("words, profanity at 0.5", lambda: make_tagger(words), 0.5)
    yield row("words, profanity", lambda: make_tagger(words))
    if "gradient" not in without:
        folder = classifier(data, out / "classifier")
        scorer = TransformersSpec(model="minilm-jigsaw", folder=str(folder), precision="float32")
        gradient = AttributionSpec(scorer=scorer, attribute="toxicity", keep_at_or_above=_EVERY)
        yield row("gradient x input", lambda: make_tagger(gradient))

    def of_artifact(name: str, path: str, kind: type[LexicalTaggerSpec] | type[TransformerTaggerSpec]) -> Row:
        return row(name, lambda: make_tagger(kind(path=path, keep_at_or_above=_EVERY)), read_card(path).threshold)

    sizes = {"lexical": LexicalTaggerSpec, "transformer": TransformerTaggerSpec}
    plain = trained(tagger_spec("lexical", train, gate=False), out / "lexical-plain")
    yield of_artifact("lexical, no clean texts and no gate", plain, LexicalTaggerSpec)
    for size, kind in sizes.items():
        if size not in without:
            yield of_artifact(size, trained(tagger_spec(size, train, trial, clean), out / size), kind)
    other = trained(tagger_spec("lexical", str(hatexplain["train"])), out / "lexical-hatexplain")
    yield of_artifact("lexical, learnt from HateXplain", other, LexicalTaggerSpec)


def texts_of(spec: TaggerTrainingSpec, data: Path, out: Path, trial: str, hatexplain: str) -> Texts:
    """Everything that is measured on."""
    unseen = write_unseen(data, out)
    rationales = labelled(spec, hatexplain)
    comments = {
        "trial": labelled(spec, trial),
        "unseen, seven people": labelled(spec, str(unseen["seven"])),
        "unseen, three people": labelled(spec, str(unseen["three"])),
        "HateXplain": rationales,
    }
    return Texts(comments, held_clean(data), stories(data, _STORY_WORDS))


def tagger_spec(
    size: str, train: str, trial: str | None = None, clean: str | None = None, gate: bool = True
) -> TaggerTrainingSpec:
    """benchmarks/taggers/SIZE.yaml on other files."""
    overrides = [f"learn_from.path={train}", f"tests.trial.path={trial}" if trial else "tests={}",
                 f"clean=[{{path: {clean}}}]" if clean else "clean=[]", *([] if gate else ["gate=null"])]  # fmt: skip
    _, spec = load_spec(BENCHMARKS / "taggers" / f"{size}.yaml", {"tagger": lambda: TaggerTrainingSpec}, overrides)
    assert isinstance(spec, TaggerTrainingSpec)
    return spec


def trained(spec: TaggerTrainingSpec, target: Path) -> str:
    """The artifact, trained if it is not there."""
    return str(run_stage(TAGGER, spec, target).path)


def labelled(spec: TaggerTrainingSpec, path: str) -> list[LabelledText]:
    """Texts of another file in the same form."""
    return list(read_examples(spec.learn_from.model_copy(update={"path": path}), spec.attribute))


def judged(name: str, tagger: Tagger, validation: list[LabelledText], texts: Texts, threshold: float | None) -> Row:
    """Fit the threshold unless it is given, then measure."""
    if threshold is None:
        threshold = best_threshold(validation, spans_of(tagger, [row.text for row in validation]))
    f1, words, seconds = {}, 0, 0.0
    for title, rows in texts.labelled.items():
        begun = time.process_time()
        spans = spans_of(tagger, [row.text for row in rows])
        seconds += time.process_time() - begun
        words += sum(len(word_spans(row.text)) for row in rows)
        values = f1_of(rows, spans, threshold)
        f1[title] = estimate(values)
        f1[f"{title}, marked texts"] = estimate(values[[bool(row.spans) for row in rows]])
    sentences = [sentence.format(word) for word in WORDS for sentence in SENTENCES]
    shares = {title: marked_shares(tagger, rows, threshold)
              for title, rows in (("clean", texts.clean), ("sentences", sentences))}  # fmt: skip
    by_word = {word: (len(rows), marks(tagger, rows, word, threshold)) for word, rows in texts.by_word.items()}
    return Row(name, threshold, f1, words / seconds, percent(shares["clean"] > 0), percent(shares["clean"]),
               percent(shares["sentences"] > 0), by_word)  # fmt: skip


def marked_shares(tagger: Tagger, texts: list[str], threshold: float) -> NDArray[np.float64]:
    """Share of each text's words that is marked [texts]."""
    spans = spans_of(tagger, texts)
    return np.array([sum(span.score >= threshold for span in row) / max(len(word_spans(text)), 1)
                     for text, row in zip(texts, spans, strict=True)])  # fmt: skip


def marks(tagger: Tagger, texts: list[str], word: str, threshold: float) -> int:
    """In how many of the texts the word is marked."""
    pairs = zip(texts, spans_of(tagger, texts), strict=True)
    return sum(any(text[span.start : span.end].lower() == word and span.score >= threshold for span in row)
               for text, row in pairs)  # fmt: skip


def percent(values: NDArray[Any]) -> BootstrapEstimate:
    """A mean of shares, in per cent."""
    share = estimate(values.astype(np.float64))
    return BootstrapEstimate(100 * share.value, 100 * share.low, 100 * share.high, digits=2)


def spans_of(tagger: Tagger, texts: list[str], batch: int = 256) -> list[list[Span]]:
    """Spans of all texts."""
    spans = []
    for start in range(0, len(texts), batch):
        spans += tagger.tag(texts[start : start + batch])
    return spans


def table(rows: list[Row]) -> str:
    """Markdown: how well marked words are found."""
    titles = list(rows[0].f1)
    lines = [
        "# Token quality",
        "",
        f"Made by `python benchmarks/scoring/token_quality.py {' '.join(sys.argv[1:])}`.",
        "",
        "Character F1 per text, averaged (SemEval-2021 task 5: 1 where nothing is marked and nothing should be), with",
        "95 % bootstrap intervals over texts. Unless a row says otherwise, a tagger learnt from SemEval's train split",
        "and, where it has clean texts, from 3,000 harmless ones (clean_modern, ToxiGen, Wikipedia). Thresholds and",
        "gates of trained taggers are chosen by cross-validation on texts held out of these; other thresholds are",
        "fitted on the same. *unseen* are the comments of the ACL 2022 release in neither train nor trial, marked by",
        "seven people (SemEval's test comments) or three; half of those who marked anything decide. 8 of the 690 stand",
        "in train too, as the task published them. HateXplain's posts are lower-cased tokens of Twitter and Gab.",
        "words/s are of one core, on short texts, on a machine with other work.",
        "",
        *markdown(["tagger", "threshold", *(f"F1 {title}" for title in titles), "words/s"],
                  [[row.name, f"{row.threshold:.2f}", *(str(row.f1[title]) for title in titles),
                    f"{np.round(row.words_per_second, -2):,.0f}"] for row in rows]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def false_alarms(rows: list[Row]) -> str:
    """Markdown: what is marked where nothing should be."""
    lines = [
        "",
        "## False alarms",
        "",
        f"In per cent, on {CLEAN_HELD:,} texts of clean_modern (at most 300 characters) that nothing was learnt from,",
        f"and on {len(WORDS) * len(SENTENCES)} harmless sentences with {len(WORDS)} identity words.",
        "",
        *markdown(["tagger", "clean texts with a mark", "clean words marked", "identity sentences with a mark"],
                  [[row.name, str(row.clean_texts), str(row.clean_words), str(row.sentences)] for row in rows]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def words_marked(rows: list[Row]) -> str:
    """Markdown: words that are marked in clean stories, for the trained taggers."""
    trained_rows = [row for row in rows if re.match("lexical|transformer", row.name) and "HateXplain" not in row.name]
    words = [word for word, (texts, _) in rows[0].by_word.items() if texts]
    totals = [f"{sum(row.by_word[word][1] for word in words)} of {sum(row.by_word[word][0] for word in words)}"
              for row in trained_rows]  # fmt: skip
    lines = [
        "",
        "## Words in clean stories",
        "",
        "How many of the texts of clean_modern with the word, none of which was learnt from, have it marked.",
        "",
        *markdown(["word", "texts", *(row.name for row in trained_rows)],
                  [[word, str(rows[0].by_word[word][0]), *(str(row.by_word[word][1]) for row in trained_rows)]
                   for word in words]),
        "| all | | " + " | ".join(totals) + " |",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a table."""
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


if __name__ == "__main__":
    main()
