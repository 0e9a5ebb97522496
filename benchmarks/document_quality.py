"""How well document scorers tell toxic texts from others, on texts that none of them was taught with, by source.

    python benchmarks/document_quality.py --data ../shared/data --out runs/document_quality

Trains `kind: fasttext` and `kind: linear` on nine tenths of the labelled sources (a text's content decides), and a
second `linear` without the sources of UNSEEN.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from curation.fasttext_training.spec import ExamplesSpec, FasttextStageSpec
from curation.fasttext_training.stage import FASTTEXT
from curation.held_out import is_held_out
from curation.linear_training.spec import LinearSpec
from curation.linear_training.stage import LINEAR
from curation.scorers import Scorer, load_scorer
from curation.scorers.fasttext import FasttextScorerSpec
from curation.scorers.linear import LinearScorerSpec
from curation.scorers.profanity import ProfanitySpec
from curation.spec import SourceSpec
from infra.atomic import write_text
from infra.stage import run_stage

Labelled = tuple[str, bool]
Scores = dict[str, NDArray[np.float32]]
UNSEEN = ("hatexplain", "stormfront")
"""Sources that the last model never sees, and that stand for forums nobody has labelled."""
TOXIC, CLEAN = "toxicity", "clean"
_HELD_OUT, _SEED, _LONGEST, _MOST = 0.1, 11, 1000, 4000
_RESAMPLES = 300
_IDENTITY = (
    "gay", "homosexual", "lesbian", "transgender", "bisexual", "queer", "black", "white", "asian", "african", "mexican",
    "latino", "arab", "muslim", "jewish", "christian", "hindu", "buddhist", "atheist", "immigrant", "refugee", "woman",
    "man", "mom", "wife", "girl", "deaf", "blind", "disabled", "autistic", "old", "poor",
)  # fmt: skip
_SENTENCES = ("My neighbour is {}.", "She read a book about {} history.", "A {} teacher came to our school.",
              "We met some {} people at the market.", "{}")  # fmt: skip


@dataclass(frozen=True)
class Estimate:
    """An area under the ROC curve with its 95 % interval over texts."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


def main() -> None:
    """Train, score, print, and leave the table in `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/document_quality"))
    asked = parser.parse_args()
    pool = labelled(asked.data)
    train = {name: [row for row in rows if not held_out(row)] for name, rows in pool.items()}
    files = {name: write_rows(asked.out / "texts" / f"{name}.jsonl", rows) for name, rows in train.items()}
    tests = {name: [row for row in rows if held_out(row)][:_MOST] for name, rows in pool.items()}
    clean = [text for text, _ in tests.pop("clean_modern")]
    tests["RTP prompts, not trained on"] = list(prompts(asked.data))
    identity = [sentence.format(word) for word in _IDENTITY for sentence in _SENTENCES]
    texts = {**{name: [text for text, _ in rows] for name, rows in tests.items()}, "clean": clean, "identity": identity}
    given = answers(scorers(files, asked.out), texts)
    report = table(given, {name: np.array([toxic for _, toxic in rows]) for name, rows in tests.items()})
    write_text(asked.out / "document_quality.md", report)
    print(report)


def labelled(data: Path) -> dict[str, list[Labelled]]:
    """Every source's texts, cut to 1,000 characters, and whether people called them toxic, in an order without one."""
    readers: dict[str, Callable[[dict], Iterator[Labelled]]] = {
        "jigsaw/jigsaw_binary_subset": lambda row: _one(row["text"], row["toxic"]),
        "jigsaw/jigsaw_multilabel_subset": lambda row: _one(row["text"], row["toxic"]),
        "davidson/labeled_data": lambda row: _one(row["tweet"], row["class"] < 2),
        "stormfront/stormfront": lambda row: _one(row["text"], row["label"] == "hate"),
        "cad/cad": lambda row: _one(row["text"], row["label"] not in (0, "0", "neutral", "Neutral", "normal")),
        "implicit_hate/safenlp_implicit_hate": lambda row: _one(row["text"], row["label"] == "hate"),
        "toxigen/toxigen_human_annotated": lambda row: _one(row["text"], row["label"] == "hate"),
        "toxigen/toxigen_prompts": _sentences,
        "hatexplain/hatexplain": lambda row: _one(" ".join(row["tokens"]), row["label_rbe"] not in (0, "normal")),
        "clean_modern/clean_modern": lambda row: _one(row["text"][:200], False),
    }
    pool: dict[str, list[Labelled]] = {}
    for file, reader in readers.items():
        rows = {text: toxic for row in read(data / f"{file}.jsonl.gz") for text, toxic in reader(row)}
        order = np.random.default_rng(_SEED).permutation(len(rows))[:25_000]
        listed = list(rows.items())
        pool[file.split("/")[1].split("_")[0] if "prompts" not in file else "toxigen-prompts"] = [
            *pool.get(file.split("/")[1].split("_")[0], []), *(listed[place] for place in order)
        ]  # fmt: skip
    return {{"labeled": "davidson", "safenlp": "implicit_hate", "clean": "clean_modern"}.get(name, name): rows
            for name, rows in pool.items()}  # fmt: skip


def _one(text: str, toxic: object) -> Iterator[Labelled]:
    yield text[:_LONGEST], bool(toxic)


def _sentences(row: dict) -> Iterator[Labelled]:
    for line in row["prompt"].split("\n"):
        if sentence := line.removeprefix("-").strip():
            yield sentence, row["label"] == "hate"


def prompts(data: Path) -> Iterator[Labelled]:
    """RealToxicityPrompts' prompts and continuations, toxic from Perspective's 0.5."""
    for row in read(data / "rtp/rtp_5k_sample.jsonl.gz"):
        for half in (row["prompt"], row["continuation"]):
            if half["toxicity"] is not None:
                yield half["text"], half["toxicity"] >= 0.5


def read(file: Path) -> Iterator[dict]:
    """Objects of a gzip file of JSON Lines."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def held_out(row: Labelled) -> bool:
    """Whether a text is judged on: equal texts are so in every source."""
    return is_held_out(row[0], _HELD_OUT, _SEED)


def write_rows(file: Path, rows: list[Labelled]) -> Path:
    """A file of examples."""
    names = {True: TOXIC, False: CLEAN}
    lines = (json.dumps({"text": text, "label": names[toxic]}) + "\n" for text, toxic in rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, "".join(lines))
    return file.resolve()


def scorers(files: dict[str, Path], out: Path) -> dict[str, Scorer]:
    """profanity, and what has been trained."""
    everything = tuple(examples(file) for file in files.values())
    some = tuple(examples(file) for name, file in files.items() if name not in UNSEEN)
    fasttext = run_stage(
        FASTTEXT, FasttextStageSpec(name="fasttext", examples=everything), out / "fasttext", quiet=True
    )
    linear = run_stage(LINEAR, LinearSpec(name="linear", examples=everything, languages=("en",)), out / "linear",
                       quiet=True)  # fmt: skip
    apart = run_stage(LINEAR, LinearSpec(name="linear-some", examples=some, languages=("en",)), out / "linear-some",
                      quiet=True)  # fmt: skip
    return {
        "profanity": load_scorer(ProfanitySpec()),
        "fasttext": load_scorer(FasttextScorerSpec(model=str(fasttext.path), labels={TOXIC: TOXIC})),
        "linear": load_scorer(LinearScorerSpec(path=str(linear.path))),
        f"linear without {', '.join(UNSEEN)}": load_scorer(LinearScorerSpec(path=str(apart.path))),
    }


def examples(file: Path) -> ExamplesSpec:
    """A file of `write_rows`."""
    return ExamplesSpec(source=SourceSpec(path=str(file)), label_key="label")


def answers(loaded: dict[str, Scorer], texts: dict[str, list[str]]) -> dict[str, Scores]:
    """By scorer and set of texts, scores [texts]; and of ensembles."""
    given = {
        name: {title: scorer.score(rows)[:, 0] for title, rows in texts.items()} for name, scorer in loaded.items()
    }
    means = {
        "mean of profanity and fasttext": (("profanity", 1), ("fasttext", 1)),
        "ensemble: 2 linear, 1 fasttext, 1 profanity": (("linear", 2), ("fasttext", 1), ("profanity", 1)),
    }
    for title, members in means.items():
        weight = sum(share for _, share in members)
        given[title] = {name: sum(given[member][name] * share for member, share in members) / weight for name in texts}
    return given


def table(given: dict[str, Scores], truth: dict[str, NDArray[np.bool_]]) -> str:
    """Markdown: a line a set, a column a scorer."""
    lines = [
        "# Document quality",
        "",
        "Area under the ROC curve with 95 % bootstrap intervals over texts, on texts not learnt from: the tenth of",
        "every source that is held out by content. The column *without …* learnt nothing of those two sources",
        "either. profanity learnt from Wikipedia's and Twitter's comments: its figures on jigsaw and davidson are of",
        "texts that it has seen. HateCheck and Surge AI's list could not be had and are not measured.",
        "The ensemble's weights were chosen among ten on these texts. Below: share of texts that score at least 0.5.",
        "",
        "| texts | toxic of all | " + " | ".join(given) + " |",
        "|---" * (len(given) + 2) + "|",
    ]
    for name, true in truth.items():
        cells = [str(area(true, scores[name])) for scores in given.values()]
        lines.append(f"| {name} | {true.sum():,} of {len(true):,} | " + " | ".join(cells) + " |")
    for name, title in (("clean", "false alarms: clean_modern"), ("identity", "false alarms: identity words")):
        cells = [f"{np.mean(scores[name] >= 0.5):.2%}" for scores in given.values()]
        lines.append(f"| {title} | 0 of {len(given['profanity'][name]):,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def area(true: NDArray[np.bool_], scores: NDArray[np.float32]) -> Estimate:
    """Area under the ROC curve, and the 2.5th and 97.5th percentile of resamples."""
    generator = np.random.default_rng(_SEED)
    values = []
    for _ in range(_RESAMPLES):
        rows = generator.integers(len(true), size=len(true))
        values.append(roc_auc_score(true[rows], scores[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return Estimate(float(roc_auc_score(true, scores)), float(low), float(high))


if __name__ == "__main__":
    main()
