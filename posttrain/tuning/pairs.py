"""Pairs of a preferred and another continuation: read from a file, or made of what the model itself writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.scorers import weights_of
from curation.sources.input_files import content_of
from curation.sources.read import read_source
from curation.sources.spec import SourceSpec
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import from_json, read_record, to_json
from infra.atomic import write_json, write_text
from infra.errors import AmountError, DataError
from posttrain.model import CausalModel
from posttrain.tuning.base import Examples, PairExample, Task
from posttrain.tuning.options import AnyPairs, ContinuationsSpec, PairsSpec, PairwiseArgs
from posttrain.tuning.sampled import ScoredText, sample_and_score
from posttrain.tuning.texts import drawn, fingerprint_of_texts, read_prompts

PAIRS, MADE = "pairs.jsonl", "pairs.json"


@dataclass(frozen=True)
class Pair:
    """Two continuations of a prompt; scores are None where nobody has scored them. What has not `ended` goes on."""

    prompt: str
    chosen: str
    rejected: str
    chosen_ended: bool = True
    rejected_ended: bool = True
    chosen_score: float | None = None
    rejected_score: float | None = None


@dataclass(frozen=True)
class MadePairs:
    """`pairs.json`: what became of the prompts."""

    prompts: int
    pairs: int
    left_out: dict[str, int]


def pair_inputs(data: AnyPairs) -> dict[str, str]:
    """Fingerprints of what pairs are made of."""
    if isinstance(data, PairsSpec):
        return {"pairs": digest(content_of(_source(data, with_rejected=True)))}
    return {"prompts": fingerprint_of_texts(data.prompts), "scorer": digest([data.scorer.name, weights_of(data.scorer)])}


def pair_examples(task: Task, args: PairwiseArgs, with_rejected: bool) -> Examples:
    """The pairs of `args.data` as token ids; without the rejected texts where the method has no use for them.

    Raises AmountError where no pair is left, DataError for a record that is no pair.
    """
    if isinstance(args.data, PairsSpec):
        pairs, left_out = _read_pairs(args.data, task.spec.seed, with_rejected), Counter[str]()
    else:
        pairs, left_out = _made_pairs(task, args.data)
    encoded = []
    for pair in pairs:
        example = _encode(pair, task.model, args)
        if not example.chosen or (with_rejected and (not example.rejected or example.chosen == example.rejected)):
            left_out["empty, or both alike"] += 1
            continue
        encoded.append(example)
    if not encoded:
        raise AmountError(f"no pair to train on: {_told(left_out)}")
    return Examples(pairs=encoded, left_out=dict(left_out))


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "the data are empty"


def _source(data: PairsSpec, with_rejected: bool) -> SourceSpec:
    keys = [key for key in (data.prompt, data.rejected if with_rejected else None) if key is not None]
    return SourceSpec(path=data.path, sha256=data.sha256, text=data.chosen, keep=tuple(keys), strict=True)


def _read_pairs(data: PairsSpec, seed: int, with_rejected: bool) -> list[Pair]:
    pairs = []
    for document in read_source(_source(data, with_rejected)):
        values = {key: document.metadata[key] for key in document.metadata if key in (data.prompt, data.rejected)}
        if wrong := [key for key, value in values.items() if not isinstance(value, str)]:
            raise DataError(f'{document.id}: "{wrong[0]}" is no text')
        prompt = values[data.prompt] if data.prompt is not None else ""
        pairs.append(Pair(prompt, document.text, values.get(data.rejected, "")))
    return drawn(pairs, data.limit, seed)


def _encode(pair: Pair, model: CausalModel, args: PairwiseArgs) -> PairExample:
    """Prompt and continuations are encoded apart, as they are when the model writes; an end that is cut off is none."""
    most = min(args.max_continuation_tokens, model.max_positions // 2)
    prompt, chosen, rejected = model.encode([pair.prompt, pair.chosen, pair.rejected])
    room = min(args.max_prompt_tokens, model.max_positions - 1 - most)

    def continued(ids: Sequence[int], ended: bool) -> list[int]:
        return [*ids, *([model.end] if ended and ids else [])][:most]

    return PairExample(
        [model.start, *prompt[-room:]], continued(chosen, pair.chosen_ended), continued(rejected, pair.rejected_ended)
    )


def _made_pairs(task: Task, spec: ContinuationsSpec) -> tuple[list[Pair], Counter[str]]:
    """Made once and kept in the work folder, so that a run which was killed does not make them again."""
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


def read_pairs_file(file: Path) -> Iterator[Pair]:
    """The pairs of a `pairs.jsonl`. Raises ArtifactError for a damaged line."""
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if line:
            yield from_json(Pair, line, f"{file}:{number}")

