"""How well each tagger finds the words that people marked: character F1 on SemEval-2021 toxic spans and HateXplain.

    python benchmarks/token_quality.py [--data ../shared/data] [--out runs/token_quality] [--without transformer]

Trains what it needs (lexical taggers a minute each, the transformer about 20 minutes on one core, a classifier for
gradient x input about 7), keeps it in --out, and writes the table to --out/token_quality.md. Thresholds are fitted on
the validation texts that are held out of SemEval's train split; trial and HateXplain are only measured on.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from classifier import classifier
from loguru import logger

from curation.records import Span
from curation.scorers.profanity import ProfanitySpec
from curation.scorers.transformers import TransformersSpec
from curation.tagger_training.examples import read_examples
from curation.tagger_training.quality import Estimate, best_threshold, estimate, f1_of
from curation.tagger_training.spec import TaggerTrainingSpec
from curation.tagger_training.stage import TAGGER
from curation.tagger_training.train import split
from curation.taggers import Tagger, make_tagger
from curation.taggers.attribution import AttributionSpec
from curation.taggers.lexical import LexicalTaggerSpec
from curation.taggers.transformer import TransformerTaggerSpec
from curation.taggers.words import WordsSpec
from curation.token_models.labels import LabelledText
from curation.words import word_spans
from infra.atomic import write_text
from infra.spec import load_spec
from infra.stage import run_stage

HERE = Path(__file__).parent
_EVERY = 1e-6  # floor: thresholds are fitted, so every word must have its score
GATES = {"lexical": 0.645, "transformer": 0.68}
"""Character F1 on the trial split below which something has gone wrong."""


@dataclass(frozen=True)
class Row:
    """One tagger's figures; `f1` by name of the texts."""

    name: str
    threshold: float
    f1: dict[str, Estimate]
    words_per_second: float


def main() -> None:
    """Train, measure, write the table, and fail below a gate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--out", type=Path, default=Path("runs/token_quality"))
    parser.add_argument("--without", nargs="*", default=[], choices=["transformer", "gradient"])
    asked = parser.parse_args()
    logger.disable("datatrove")  # its readers announce every file
    asked.out.mkdir(parents=True, exist_ok=True)
    rows = list(measure(asked.data.resolve(), asked.out, asked.without))
    write_text(asked.out / "token_quality.md", table(rows))
    print(table(rows))
    low = [row.name for row in rows if row.f1["trial"].value < GATES.get(row.name, 0.0)]
    if low:
        raise SystemExit(f"below its gate: {', '.join(low)}")


def measure(data: Path, out: Path, without: list[str]) -> Iterator[Row]:
    """A row for each tagger."""
    semeval = data / "toxic_spans" / "semeval2021_{}.jsonl.gz"
    hatexplain = write_hatexplain(data / "hatexplain" / "hatexplain.jsonl.gz", out)
    spec = tagger_spec("lexical", str(semeval).format("train"), str(semeval).format("trial"))
    _, validation = split(list(read_examples(spec.learn_from, spec.attribute)), spec.validation, spec.seed)
    rationales = labelled(spec, str(hatexplain["val"]))
    texts = {
        "trial": labelled(spec, str(semeval).format("trial")),
        "HateXplain": rationales,
        "HateXplain, marked posts": [each for each in rationales if each.spans],
    }

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
    path = trained(spec, out / "lexical")
    yield row("lexical", lambda: make_tagger(LexicalTaggerSpec(path=path, keep_at_or_above=_EVERY)))
    other = trained(tagger_spec("lexical", str(hatexplain["train"])), out / "lexical-hatexplain")
    yield row("lexical, learnt from HateXplain",
              lambda: make_tagger(LexicalTaggerSpec(path=other, keep_at_or_above=_EVERY)))  # fmt: skip
    if "transformer" not in without:
        large = trained(tagger_spec("transformer", str(semeval).format("train"), str(semeval).format("trial")),
                        out / "transformer")  # fmt: skip
        yield row("transformer", lambda: make_tagger(TransformerTaggerSpec(path=large, keep_at_or_above=_EVERY)))


def tagger_spec(size: str, train: str, trial: str | None = None) -> TaggerTrainingSpec:
    """benchmarks/taggers/SIZE.yaml on other files."""
    overrides = [f"learn_from.path={train}", f"tests.trial.path={trial}" if trial else "tests={}"]
    _, spec = load_spec(HERE / "taggers" / f"{size}.yaml", {"tagger": lambda: TaggerTrainingSpec}, overrides)
    assert isinstance(spec, TaggerTrainingSpec)
    return spec


def trained(spec: TaggerTrainingSpec, target: Path) -> str:
    """The artifact, trained if it is not there."""
    return str(run_stage(TAGGER, spec, target).path)


def labelled(spec: TaggerTrainingSpec, path: str) -> list[LabelledText]:
    """Texts of another file in the same form."""
    return list(read_examples(spec.learn_from.model_copy(update={"path": path}), spec.attribute))


def judged(
    name: str, tagger: Tagger, validation: list[LabelledText], texts: dict[str, list[LabelledText]],
    threshold: float | None,
) -> Row:  # fmt: skip
    """Fit the threshold unless it is given, then measure."""
    if threshold is None:
        threshold = best_threshold(validation, spans_of(tagger, validation))
    f1, words, seconds = {}, 0, 0.0
    for title, each in texts.items():
        begun = time.process_time()
        spans = spans_of(tagger, each)
        seconds += time.process_time() - begun
        words += sum(len(word_spans(text.text)) for text in each)
        f1[title] = estimate(f1_of(each, spans, threshold))
    return Row(name, threshold, f1, words / seconds)


def spans_of(tagger: Tagger, texts: list[LabelledText], batch: int = 256) -> list[list[Span]]:
    """Spans of all texts."""
    found = []
    for start in range(0, len(texts), batch):
        found += tagger.tag([each.text for each in texts[start : start + batch]])
    return found


def write_hatexplain(source: Path, out: Path) -> dict[str, Path]:
    """HateXplain's posts that have rationales, as texts with spans: tokens joined by spaces, neighbours in one span."""
    files: dict[str, list[str]] = {"train": [], "val": []}
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if record["split"] in files and record.get("rationale") is not None:
                spans = _rationale_spans(record["tokens"], record["rationale"])
                files[record["split"]].append(json.dumps({"text": " ".join(record["tokens"]), "spans": spans}))
    for name, rows in files.items():
        write_text(out / f"hatexplain-{name}.jsonl", "\n".join(rows) + "\n")
    return {name: (out / f"hatexplain-{name}.jsonl").resolve() for name in files}


def _rationale_spans(tokens: list[str], rationale: list[int]) -> list[list[int]]:
    spans: list[list[int]] = []
    start, before = 0, 0
    for token, marked in zip(tokens, rationale, strict=True):
        end = start + len(token)
        if marked and before:
            spans[-1][1] = end
        elif marked:
            spans.append([start, end])
        start, before = end + 1, marked
    return spans


def table(rows: list[Row]) -> str:
    """Markdown."""
    titles = list(rows[0].f1)
    head = ["tagger", "threshold", *(f"F1 {title}" for title in titles), "words/s"]
    lines = [
        "# Token quality",
        "",
        "Character F1 per text, averaged (SemEval-2021 task 5: 1 where nothing is marked and nothing should be), with",
        "95 % bootstrap intervals over texts. Thresholds are fitted on the texts held out of SemEval's train split;",
        "words/s are of one core, on short texts. 8 of the 690 trial texts stand in train too, as the task published",
        "them. HateXplain's posts are lower-cased tokens of Twitter and Gab; posts without marks count with 1 where",
        "nothing is found. Except for the row that says so, nothing was learnt from HateXplain.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for row in rows:
        cells = [row.name, f"{row.threshold:.2f}", *(str(row.f1[title]) for title in titles),
                 f"{np.round(row.words_per_second, -2):,.0f}"]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
