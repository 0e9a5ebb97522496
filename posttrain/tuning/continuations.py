"""Pairs made of what the model itself writes: of each prompt the mildest continuation and the most toxic one.

Lee et al. 2024 (arXiv 2401.01967) take a greedy continuation and one that PPLM pushed towards toxicity. Here both are
samples of the unchanged model: nothing is fitted, and both texts are ones that it would write.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.artifacts.records import read_record, to_json
from infra.atomic import write_json, write_text
from posttrain.tuning.base import Task
from posttrain.tuning.options import ContinuationsSpec
from posttrain.tuning.pairs import PAIRS, Pair, read_pairs_file
from posttrain.tuning.sampled import ScoredText, sample_and_score
from posttrain.tuning.texts import read_prompts

MADE = "pairs.json"


@dataclass(frozen=True)
class MadePairs:
    """`pairs.json`: what became of the prompts."""

    prompts: int
    pairs: int
    left_out: dict[str, int]


def made_pairs(task: Task, spec: ContinuationsSpec) -> tuple[list[Pair], Counter[str]]:
    """Pairs, and why prompts gave none. Made once: a run that was killed finds them in its work folder."""
    file = task.folder / PAIRS
    if not file.exists():
        _make(task, spec, file)
    left_out = read_record(MadePairs, task.folder / MADE).left_out
    return list(read_pairs_file(file)), Counter(left_out)


def _make(task: Task, spec: ContinuationsSpec, file: Path) -> None:
    seed = task.spec.seed
    prompts = read_prompts(spec, task.model, seed)
    with task.workspace.progress("continuing prompts", len(prompts) * spec.samples, "continuations") as advance:
        rows = sample_and_score(task.model, spec, prompts, seed, advance)
    left_out: Counter[str] = Counter()
    pairs = [pair for prompt, row in zip(prompts, rows, strict=True) if (pair := _pair(prompt, row, spec, left_out))]
    write_json(task.folder / MADE, to_json(MadePairs(len(prompts), len(pairs), dict(left_out))))
    write_text(file, "".join(json.dumps(to_json(pair), ensure_ascii=False) + "\n" for pair in pairs))


def _pair(prompt: str, row: Sequence[ScoredText], spec: ContinuationsSpec, left_out: Counter[str]) -> Pair | None:
    """The mildest and the most toxic continuation, the first of those that are alike."""
    scored = [(sample.score, sample) for sample in row if sample.score is not None]
    if len(scored) < 2:
        left_out["prompts with fewer than two continuations that can be scored"] += 1
        return None
    low, mild = min(scored, key=lambda pair: pair[0])
    high, toxic = max(scored, key=lambda pair: pair[0])
    if high - low < spec.min_difference:
        left_out["prompts whose continuations differ too little"] += 1
        return None
    return Pair(prompt, mild.text, toxic.text, mild.ended, toxic.ended, low, high)
