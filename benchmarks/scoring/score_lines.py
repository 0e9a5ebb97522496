"""`hormesis score` as a filter: lines a second, against a call of the scorer for each line and against its own rate.

    python -m benchmarks.scoring.score_lines --texts ../shared/data/toxic_corpus/toxic_comments.jsonl.gz

All three in one process and in processor time. It leaves with 1 below 20,000 lines a second.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from curation.filter.score_lines import Filter, answer, prepare
from curation.text.passages import passages

AIM = 20_000
_LONGEST = 200


def rate(work: Callable[[], object], lines: int, rounds: int) -> float:
    """Lines a second of processor time, of the fastest round."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return lines / best


def one_by_one(chosen: Filter, lines: list[bytes]) -> None:
    """A call of the scorer for each line."""
    scorer = chosen.scoring.scorer
    assert scorer is not None
    for line in lines:
        record = json.loads(line)
        scores = scorer.score(list(passages(record["text"], _LONGEST))).max(axis=0)
        json.dumps({**record, "scores": dict(zip(scorer.attributes, scores.tolist(), strict=True))})


def filtered(chosen: Filter, source: Path) -> None:
    """The command's own way, from a file and into nothing."""
    with source.open("rb", buffering=0) as opened, Path(os.devnull).open("wb") as target:
        answer(chosen, opened.fileno(), target)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, required=True, help="JSON Lines with `text`, gzip")
    parser.add_argument("--scorer", default="profanity")
    parser.add_argument("--size", type=int, default=30_000, help="lines")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with gzip.open(options.texts, "rb") as opened:
        lines = list(islice(opened, options.size))
    chosen = prepare(options.scorer, False, False, "words", None, _LONGEST)
    scorer = chosen.scoring.scorer
    assert scorer is not None
    pieces = [piece for line in lines for piece in passages(json.loads(line)["text"], _LONGEST)]
    few = lines[: max(1, len(lines) // 20)]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "lines.jsonl")
        source.write_bytes(b"".join(lines))
        ours = rate(lambda: filtered(chosen, source), len(lines), options.rounds)
    loop = rate(lambda: one_by_one(chosen, few), len(few), options.rounds)
    alone = rate(lambda: scorer.score(pieces), len(lines), options.rounds)
    print("| way | lines a second | ours against it |\n|---|---|---|")
    for what, speed in (("`hormesis score`", ours), ("a call for each line", loop), ("the scorer alone", alone)):
        print(f"| {what} | {speed:,.0f} | {ours / speed:.2f} |")
    print(f"\n{len(lines):,} lines, {len(pieces):,} passages; {scorer.identity}")
    return 0 if ours >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
