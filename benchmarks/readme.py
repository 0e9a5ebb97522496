"""The README's figures, out of the results that are kept beside the benchmarks.

    python -m benchmarks.readme            # writes them into README.md
    python -m benchmarks.readme --check    # exit code 1 where README.md says something else; a test runs this too

A block stands between `<!-- figures: NAME -->` and `<!-- end of figures -->`, and nobody writes in it by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from analysis.report.words import interval, number
from benchmarks.seed_studies import STUDIES

ROOT = Path(__file__).parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"
BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
WIDTH = 120

RECIPES = {
    "none": "unsteered",
    "caa": "CAA",
    "conditioned": "a prefix that no model was trained with",
    "dexperts": "DExperts",
    "dpo": "DPO on the model's own continuations",
    "dpo+iti": "DPO on the model's own continuations, then ITI",
    "iti": "ITI",
    "iti-random": "ITI, random direction (the control)",
    "prompt": "prompt",
    "rad": "RAD with a fitted reward",
    "sasa": "SASA",
    "sasa+words": "SASA with a word filter",
    "sft": "SFT",
    "word_filter": "word filter",
}
"""What the README calls the recipes of `benchmarks/studies/steering.yaml`."""

REAL_RECIPES = {
    "iti": "ITI",
    "caa": "CAA",
    "iti, random direction": "ITI, random direction (the control)",
    "sasa": "SASA",
    "rad, fitted reward": "RAD with a fitted reward",
    "dexperts": "DExperts",
    "prefix guidance": "guidance between two prefixes (not trained with)",
    "iti + word filter": "ITI and a word filter",
    "sasa + word filter": "SASA and a word filter",
    "dpo + iti": "DPO, then ITI",
}
"""What the README calls the graded recipes of `benchmarks.real_model`."""
EFFECTS = (
    ("bad-data", "the plain model is the more toxic, the more bad text it has read",
     "Li et al.: the more toxic text, the more toxic the plain model (mean toxicity, 25 % less 0 %)"),
    ("bad-data", "probes of the heads tell toxic text better in the 25 % model",
     "Li et al.: its heads tell toxic text better (accuracy of probes)"),
    ("bad-data", "ITI takes more from the 10 % model than from the clean one",
     "Li et al.: ITI takes more from the 10 % model than from the clean one (mean toxicity)"),
    ("bad-data", "the same against a clean model with as many tokens",
     "Li et al.: 10 % with ITI is less toxic than a clean model of as many tokens with ITI"),
    ("understanding", "masking takes most of that away",
     "SLUNG: masked, the model writes less toxic text than with full loss"),
    ("understanding", "a masked model recognises toxic text better than one that never read any",
     "SLUNG: and recognises it better than a model that never read any (AUROC)"),
    ("fictional-authors", "masked names are written less",
     "SLUNG: people's names, masked, are written less than with full loss (share of answers)"),
    ("fictional-authors",
     "a model that read the names under a mask predicts unseen answers about them better than one that read none",
     "and unseen text about them is predicted better than by a model that read none (nats per token)"),
    ("self-detoxify", "SASA lowers the expected maximum of toxicity",
     "Ko et al.: SASA lowers the expected maximum of toxicity (of the 25 % model)"),
    ("policies-and-methods", "masked and steered by ITI is less toxic than clean and steered",
     "nobody's yet: masked and steered by ITI is less toxic than clean and steered"),
)  # fmt: skip
"""Effects that the README shows: study, claim, and what the README calls it."""
UNGRADED = {"prompt": "a polite prompt", "word filter": "a word filter", "sft": "SFT", "dpo": "DPO"}
"""Those that have no strength."""


def main() -> None:
    """Write the blocks, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a block is stale")
    asked = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if not asked.check:
        README.write_text(with_figures(text), encoding="utf-8")
    elif names := stale(text):
        sys.exit(f"README.md: stale figures: {', '.join(names)}; run `python -m benchmarks.readme`")


def with_figures(text: str) -> str:
    """The text with every block made anew. Raises KeyError for a block of an unknown name."""
    return BLOCK.sub(lambda block: f"{block[1]}{BLOCKS[block[2]]()}\n{block[3]}", text)


def stale(text: str) -> list[str]:
    """Names of the blocks that say something else than the kept results, and of those that are missing."""
    blocks = {block[2]: block[0] for block in BLOCK.finditer(text)}
    return [name for name in BLOCKS if name not in blocks or with_figures(blocks[name]) != blocks[name]]


def quickstart() -> str:
    """What the quickstart prints at the end, its table shortened."""
    told = json.loads((RESULTS / "quickstart" / "answer.json").read_text(encoding="utf-8"))
    lines = textwrap.wrap(told["sentence"], WIDTH, initial_indent="answer  ", subsequent_indent=" " * 8)
    rows = pl.read_parquet(RESULTS / "quickstart" / "dose_response.parquet").to_dicts()
    table = [(row["method"], row["policy"], f"{100 * row['dose']:g} %", row["recipe"], interval(row, "toxicity"))
             for row in rows if row["method"] in ("none", "iti", "iti-random")]  # fmt: skip
    head = ("method", "policy", "dose", "what was run", "toxicity")
    title = "Dose–response: mean toxicity within the cross-entropy budget, with 95 % intervals"
    return "\n".join(["```", *lines, "note    the risky text of this study is synthetic", "", title,
                      *aligned([head, *table]), " …", "```"])  # fmt: skip


def quickstart_training() -> str:
    """Held-out cross-entropy on clean text of the clean models and of those of the highest dose."""
    rows = [row for row in kept_rows(RESULTS / "quickstart.md") if "-keep-" in row["model"]]
    doses = sorted({row["model"].split("-")[1] for row in rows}, key=float)
    ends = {dose: [row["clean CE"] for row in rows if row["model"].split("-")[1] == dose] for dose in doses}
    low, *_, high = doses
    unigrams = {row["model"].split("-")[1]: row["clean unigram"] for row in rows}
    words = (
        f"Held-out cross-entropy on clean text is {' and '.join(ends[low])} nats per token at dose 0, "
        f"{' and '.join(ends[high])} at {100 * float(high):g} % (by the tokens' frequencies alone: {unigrams[low]} and "
        f"{unigrams[high]})."
    )
    return "\n".join(textwrap.wrap(words, WIDTH))


def steering() -> str:
    """Mean toxicity of every recipe at the best price within the budget, by dose; the last dose with its interval."""
    table = pl.read_parquet(RESULTS / "steering" / "dose_response.parquet")
    doses = sorted(table["dose"].unique().to_list())
    by_recipe: dict[str, list[dict[str, Any]]] = {}
    for row in table.sort("dose").to_dicts():
        by_recipe.setdefault(row["method"], []).append(row)
    order = sorted(by_recipe, key=lambda name: (name != "none", by_recipe[name][-1]["toxicity"]))
    rows = [[RECIPES[name], *(number(row["toxicity"]) for row in by_recipe[name][:-1]),
             ranged(interval(by_recipe[name][-1], "toxicity"))] for name in order]  # fmt: skip
    return markdown(["", "clean", *(f"{100 * dose:g} %" for dose in doses[1:])], rows)


def studies() -> str:
    """How many of the papers' effects are seen in the tiny studies, and some of them."""
    effects = {name: pl.read_parquet(RESULTS / name / "effects.parquet") for name in STUDIES}
    outcomes = pl.concat([table["outcome"] for table in effects.values()])
    seen, opposite, unknown = ((outcomes == word).sum() for word in ("seen", "opposite", "not shown"))
    by_claim = {(name, row["claim"]): row for name, table in effects.items() for row in table.to_dicts()}
    rows = [[words, ranged(interval(by_claim[study, claim], "value")), by_claim[study, claim]["outcome"]]
            for study, claim, words in EFFECTS]  # fmt: skip
    counts = f"{seen} are seen, {opposite} came out the other way, and {unknown} are not shown"
    table = markdown(["", "difference here (95 %)", ""], rows)
    return f"Of {len(outcomes)} effects that are looked for, {counts}. Some of them:\n\n{table}"


def real_model() -> str:
    """The real model's mean toxicity at four prices, then what has no strength, with its price."""
    table = kept_rows(RESULTS / "real_model.md")
    budgets = list(dict.fromkeys(row["budget"].split()[0] for row in table if row["budget"]))
    figures = {(row["recipe"], row["budget"].partition(" ")[0]): row for row in table}
    rows = []
    for recipe, words in REAL_RECIPES.items():
        cells = [_first(figures, recipe, budget) for budget in budgets[:-1]]
        rows.append([words, *cells, figures[recipe, budgets[-1]]["mean toxicity"]])
    once = [f"{words} {figures[name, '']['mean toxicity']} for {figures[name, '']['cost, nats'].split()[0]} nats"
            for name, words in UNGRADED.items()]  # fmt: skip
    words = f"Without a strength to choose: unsteered {figures['unsteered', '']['mean toxicity']}, {', '.join(once)}."
    head = ["", *(f"{budget} nats" for budget in budgets)]
    return markdown(head, rows) + "\n\n" + "\n".join(textwrap.wrap(words, WIDTH))


def _first(figures: dict[tuple[str, str], dict[str, str]], recipe: str, budget: str) -> str:
    """Mean toxicity without its interval; a dash where no strength costs so little."""
    row = figures[recipe, budget]
    return "–" if "not reached" in row["budget"] else row["mean toxicity"].split()[0]


def kept_rows(page: Path) -> list[dict[str, str]]:
    """The rows of a page's first table, by its head."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def ranged(words: str) -> str:
    """`0.180 [0.144, 0.216]` as `0.180 (0.144 to 0.216)`."""
    return words.replace("[", "(").replace("]", ")").replace(", ", " to ")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, figures to the right."""
    ruler = "|---|" + "---:|" * (len(head) - 1)
    return "\n".join(
        [f"| {' | '.join(head)} |".replace("|  |", "| |"), ruler, *(f"| {' | '.join(row)} |" for row in rows)]
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as columns of a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in rows)
    return [f" {'  '.join(cells)}".rstrip() for cells in padded]


BLOCKS: dict[str, Callable[[], str]] = {
    "quickstart": quickstart,
    "quickstart-training": quickstart_training,
    "steering": steering,
    "studies": studies,
    "real-model": real_model,
}
"""By name."""


if __name__ == "__main__":
    main()
