"""Texts of benchmarks/scoring/token_quality.py, drawn by seed from ../shared/data: what is learnt from, and what
never is.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from curation.training.held_out import is_held_out
from infra.atomic import write_text

SEED = 14
CLEAN_LEARNT, CLEAN_HELD = 1000, 1500
"""Texts of each harmless source that are learnt from, and of clean_modern that false alarms are counted on."""
STORIES = 20
"""Texts with each word, at most."""
_HARMLESS = 2  # of 5: below this, people called a statement of ToxiGen harmless
_LONGEST = 300  # characters of a harmless text: about as long as a comment
_MAX_COMMENTS = 2200  # comments of a kind, in the order of the release
_MANY = 7  # people who marked each comment of SemEval's test split; train and trial had three


def read(file: Path) -> Iterator[dict[str, Any]]:
    """Objects of a gzip file of JSON Lines."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def write_clean(data: Path, out: Path) -> Path:
    """Harmless texts to learn from: a third clean_modern, a third neutral statements on groups, a third harmless
    comments. Those of clean_modern are of the half that false alarms are not counted on.
    """
    statements, comments = (data / "toxigen" / "toxigen_human_annotated.jsonl.gz",
                            data / "jigsaw" / "jigsaw_binary_subset.jsonl.gz")  # fmt: skip
    sources = (
        _clean_modern(data),
        (row["text"] for row in read(statements) if row["label"] != "hate" and row["toxicity_score"] < _HARMLESS),
        (_cut(row["text"]) for row in read(comments) if not row["toxic"]),
    )
    texts = [text for source in sources for text in drawn(source, CLEAN_LEARNT, held=False)]
    return write_rows(out / "clean.jsonl", ({"text": text} for text in texts))


def held_clean(data: Path) -> list[str]:
    """Texts of clean_modern that nothing was learnt from."""
    return drawn(_clean_modern(data), CLEAN_HELD, held=True)


def stories(data: Path, words: tuple[str, ...]) -> dict[str, list[str]]:
    """By word, texts of clean_modern with it that nothing was learnt from: at most `STORIES`."""
    patterns = {word: re.compile(rf"\b{word}\b", re.IGNORECASE) for word in words}
    texts = drawn(_clean_modern(data), sys.maxsize, held=True)
    return {word: list(islice(filter(pattern.search, texts), STORIES)) for word, pattern in patterns.items()}


def drawn(texts: Iterable[str], number: int, held: bool) -> list[str]:
    """That many of the texts of one half, which their content decides; in an order without one."""
    half = sorted({text for text in texts if is_held_out(text, 0.5, SEED) == held})
    order = np.random.default_rng(SEED).permutation(len(half))[:number]
    return [half[index] for index in order]


def write_unseen(data: Path, out: Path) -> dict[str, Path]:
    """Comments of the ACL 2022 release that stand in neither train nor trial, by how many people marked them.

    A character counts as marked where half of those who marked anything marked it: the rule that gives SemEval's own
    labels back (character F1 0.934 on train and trial, where both have them).
    """
    folder = data / "toxic_spans"
    known = {plain(row["text"]) for name in ("train", "trial") for row in read(folder / f"semeval2021_{name}.jsonl.gz")}
    rows: dict[str, dict[str, Any]] = {}
    for row in read(folder / "acl2022_all_annotators.jsonl.gz"):
        if plain(row["text"]) not in known:
            rows.setdefault(plain(row["text"]), row)
    files = {}
    for name, many in (("seven", True), ("three", False)):
        chosen = (row for row in rows.values() if (len(row["annotations"]) == _MANY) == many)
        records = ({"text": row["text"], "spans": marked(row)} for row in islice(chosen, _MAX_COMMENTS))
        files[name] = write_rows(out / f"unseen-{name}.jsonl", records)
    return files


def marked(row: dict[str, Any]) -> list[int]:
    """Offsets that at least half of those who marked anything marked."""
    people = [{offset for _, start, end in person["spans"] for offset in range(start, min(end, len(row["text"])))}
              for person in row["annotations"]]  # fmt: skip
    people = [offsets for offsets in people if offsets]
    counts = Counter(offset for offsets in people for offset in offsets)
    return sorted(offset for offset, count in counts.items() if 2 * count >= len(people))


def write_hatexplain(source: Path, out: Path) -> dict[str, Path]:
    """HateXplain's posts that have rationales, as texts with spans: tokens joined by spaces, neighbours in one span."""
    files: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for record in read(source):
        if record["split"] in files and record.get("rationale") is not None:
            spans = _rationale_spans(record["tokens"], record["rationale"])
            files[record["split"]].append({"text": " ".join(record["tokens"]), "spans": spans})
    return {name: write_rows(out / f"hatexplain-{name}.jsonl", rows) for name, rows in files.items()}


def write_rows(file: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """JSON Lines; the file's absolute path."""
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    return file.resolve()


def plain(text: str) -> str:
    """A text without what differs between copies: white space and capitals."""
    return " ".join(text.split()).lower()


def _clean_modern(data: Path) -> Iterator[str]:
    return (_cut(row["text"]) for row in read(data / "clean_modern" / "clean_modern.jsonl.gz"))


def _cut(text: str) -> str:
    return text[:_LONGEST].strip()


def _rationale_spans(tokens: list[str], rationale: list[int]) -> list[list[int]]:
    spans: list[list[int]] = []
    start, before = 0, 0
    for token, chosen in zip(tokens, rationale, strict=True):
        end = start + len(token)
        if chosen and before:
            spans[-1][1] = end
        elif chosen:
            spans.append([start, end])
        start, before = end + 1, chosen
    return spans
