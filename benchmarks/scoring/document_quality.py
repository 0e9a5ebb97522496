"""How well document scorers tell toxic texts from others, on texts that none of them was taught with, by source.

    python benchmarks/scoring/document_quality.py --data ../shared/data --out runs/document_quality

Trains `kind: fasttext` and `kind: linear` on nine tenths of the labelled sources (a text's content decides), and a
second `linear` without the sources of UNSEEN. Of the tenth held out, half chooses the ensemble's weights and the other
half judges. Also measures how many unseen English texts, and texts in other languages, are refused for unknown words.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from foreign import LATIN, OTHER, sentences
from identity_words import SENTENCES, WORDS
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from curation.scorers import Scorer, load_scorer
from curation.scorers.options import FasttextScorerSpec, LinearScorerSpec, ProfanitySpec
from curation.scoring.unscored import FEWEST_KNOWN, why_unscored
from curation.sources.spec import SourceSpec
from curation.training.fasttext.spec import ExamplesSpec, FasttextStageSpec
from curation.training.fasttext.stage import FASTTEXT
from curation.training.held_out import is_held_out
from curation.training.intervals import BootstrapEstimate
from curation.training.linear.spec import LinearSpec
from curation.training.linear.stage import LINEAR
from infra.atomic import write_text
from infra.stages.stage import run_stage

Labelled = tuple[str, bool]
Scores = dict[str, NDArray[np.float32]]
UNSEEN = ("hatexplain", "stormfront")
"""Sources that the last model never sees, and that stand for forums nobody has labelled."""
TOXIC, CLEAN = "toxicity", "clean"
_HELD_OUT, _SEED, _LONGEST, _MAX_HELD_OUT = 0.1, 11, 1000, 4000
_RESAMPLES = 300
_WEIGHTS = tuple(weights for weights in product(range(4), repeat=3) if sum(weights) == 3)
"""Weights of linear, fasttext and profanity that an ensemble may have."""
MEMBERS = ("linear", "fasttext", "profanity")


def main() -> None:
    """Train, score, print, and leave the table in `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("runs/document_quality"))
    asked = parser.parse_args()
    pool = labelled(asked.data)
    train = {name: [row for row in rows if not held_out(row)] for name, rows in pool.items()}
    files = {name: write_rows(asked.out / "texts" / f"{name}.jsonl", rows) for name, rows in train.items()}
    held = {name: [row for row in rows if held_out(row)][:_MAX_HELD_OUT] for name, rows in pool.items()}
    validation, tests = halves(held)
    clean = [text for text, _ in tests.pop("clean_modern")]
    validation.pop("clean_modern")
    tests["RTP prompts, not trained on"] = list(prompts(asked.data))
    identity = [sentence.format(word) for word in WORDS for sentence in SENTENCES]
    texts = {**texts_of(tests), "clean": clean, "identity": identity}
    loaded = scorers(files, asked.out)
    weights = chosen_weights(single_answers(loaded, texts_of(validation)), truth_of(validation))
    by_scorer = answers(single_answers(loaded, texts), weights)
    report = table(by_scorer, truth_of(tests), weights) + refused(loaded, {**texts_of(tests), "clean_modern": clean})
    write_text(asked.out / "document_quality.md", report)
    print(report)


def halves(held: dict[str, list[Labelled]]) -> tuple[dict[str, list[Labelled]], dict[str, list[Labelled]]]:
    """Texts to choose on and texts to judge on, by their content, so that equal texts are in one half."""
    first = {name: [row for row in rows if is_held_out(row[0], 0.5, _SEED + 1)] for name, rows in held.items()}
    second = {name: [row for row in rows if not is_held_out(row[0], 0.5, _SEED + 1)] for name, rows in held.items()}
    return first, second


def texts_of(sets: dict[str, list[Labelled]]) -> dict[str, list[str]]:
    """Texts alone."""
    return {name: [text for text, _ in rows] for name, rows in sets.items()}


def truth_of(sets: dict[str, list[Labelled]]) -> dict[str, NDArray[np.bool_]]:
    """Labels alone."""
    return {name: np.array([toxic for _, toxic in rows]) for name, rows in sets.items()}


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
            *pool.get(file.split("/")[1].split("_")[0], []), *(listed[index] for index in order)
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
    seen = tuple(examples(file) for name, file in files.items() if name not in UNSEEN)
    fasttext = run_stage(
        FASTTEXT, FasttextStageSpec(name="fasttext", examples=everything), out / "fasttext", quiet=True
    )
    linear = run_stage(LINEAR, LinearSpec(name="linear", examples=everything, languages=("en",)), out / "linear",
                       quiet=True)  # fmt: skip
    apart = run_stage(LINEAR, LinearSpec(name="linear-some", examples=seen, languages=("en",)), out / "linear-some",
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


def single_answers(loaded: dict[str, Scorer], texts: dict[str, list[str]]) -> dict[str, Scores]:
    """By scorer and set of texts, scores [texts]."""
    return {name: {title: scorer.score(rows)[:, 0] for title, rows in texts.items()} for name, scorer in loaded.items()}


def mean_of(by_scorer: dict[str, Scores], weights: tuple[int, ...]) -> Scores:
    """Weighted mean of the members' scores."""
    pairs = list(zip(MEMBERS, weights, strict=True))
    return {title: sum(by_scorer[name][title] * weight for name, weight in pairs) / sum(weights)
            for title in by_scorer[MEMBERS[0]]}  # fmt: skip


def chosen_weights(by_scorer: dict[str, Scores], truth: dict[str, NDArray[np.bool_]]) -> tuple[int, ...]:
    """The weights with the highest area under the ROC curve, averaged over sources."""

    def worth(weights: tuple[int, ...]) -> float:
        scores = mean_of(by_scorer, weights)
        return float(np.mean([roc_auc_score(true, scores[name]) for name, true in truth.items()]))

    return max(_WEIGHTS, key=worth)


def answers(by_scorer: dict[str, Scores], weights: tuple[int, ...]) -> dict[str, Scores]:
    """Single scorers, the mean of all members, and the ensemble with weights chosen on other texts."""
    return {**by_scorer, "plain mean": mean_of(by_scorer, (1, 1, 1)), "ensemble": mean_of(by_scorer, weights)}


def refused(loaded: dict[str, Scorer], texts: dict[str, list[str]]) -> str:
    """Markdown: how many texts are refused because too few of their words are known to the scorer."""
    others = {"sentences in other languages, Latin letters": sentences(LATIN),
              "sentences in other languages, other letters": sentences(OTHER)}  # fmt: skip
    names = ("profanity", "linear", f"linear without {', '.join(UNSEEN)}")
    lines = ["", "## Texts refused for unknown words", "",
             f"Share of texts of which fewer than {FEWEST_KNOWN:.0%} of the words are known to the scorer.", "",
             "| texts | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]  # fmt: skip
    for title, rows in {**texts, **others}.items():
        shares = [np.mean([bool(why_unscored(text, loaded[name])) for text in rows]) for name in names]
        lines.append(f"| {title} ({len(rows):,}) | " + " | ".join(f"{share:.2%}" for share in shares) + " |")
    return "\n".join(lines) + "\n"


def table(by_scorer: dict[str, Scores], truth: dict[str, NDArray[np.bool_]], weights: tuple[int, ...]) -> str:
    """Markdown: a line a set, a column a scorer."""
    shares = ", ".join(f"{name} {weight}" for name, weight in zip(MEMBERS, weights, strict=True))
    lines = [
        "# Document quality",
        "",
        "Made by `python benchmarks/scoring/document_quality.py --data ../shared/data --out runs/document_quality`.",
        "",
        "Area under the ROC curve with 95 % bootstrap intervals over texts, on texts not learnt from: half of the",
        "tenth of every source that is held out by content. The column *without …* learnt nothing of those two sources",
        "either. profanity learnt from Wikipedia's and Twitter's comments: its figures on jigsaw and davidson are of",
        "texts that it has seen. HateCheck and Surge AI's list could not be had and are not measured.",
        f"The ensemble's weights ({shares}) were chosen on the other half of that tenth, by the mean over sources.",
        "Below: share of texts that score at least 0.5.",
        "",
        "| texts | toxic of all | " + " | ".join(by_scorer) + " |",
        "|---" * (len(by_scorer) + 2) + "|",
    ]
    for name, true in truth.items():
        cells = [str(area(true, scores[name])) for scores in by_scorer.values()]
        lines.append(f"| {name} | {true.sum():,} of {len(true):,} | " + " | ".join(cells) + " |")
    for name, title in (("clean", "false alarms: clean_modern"), ("identity", "false alarms: identity words")):
        cells = [f"{np.mean(scores[name] >= 0.5):.2%}" for scores in by_scorer.values()]
        lines.append(f"| {title} | 0 of {len(by_scorer['profanity'][name]):,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def area(true: NDArray[np.bool_], scores: NDArray[np.float32]) -> BootstrapEstimate:
    """Area under the ROC curve, and the 2.5th and 97.5th percentile of resamples."""
    generator = np.random.default_rng(_SEED)
    values = []
    for _ in range(_RESAMPLES):
        rows = generator.integers(len(true), size=len(true))
        values.append(roc_auc_score(true[rows], scores[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return BootstrapEstimate(float(roc_auc_score(true, scores)), float(low), float(high), digits=3)


if __name__ == "__main__":
    main()
