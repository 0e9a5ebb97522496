"""Pairs of a preferred and another continuation: read from a file, and as token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.sources.read import read_source
from curation.sources.spec import SourceSpec
from infra.artifacts.records import from_json
from infra.errors import DataError
from posttrain.tuning.base import PairExample
from posttrain.tuning.options import PairsSpec, PairwiseArgs
from posttrain.tuning.texts import drawn

if TYPE_CHECKING:
    from posttrain.model import CausalModel

PAIRS = "pairs.jsonl"


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


def source_of(data: PairsSpec, with_rejected: bool) -> SourceSpec:
    """The pairs as a source: the preferred text, and what is kept beside it."""
    keys = [key for key in (data.prompt, data.rejected if with_rejected else None) if key is not None]
    return SourceSpec(path=data.path, sha256=data.sha256, text=data.chosen, keep=tuple(keys), strict=True)


def read_pairs(data: PairsSpec, seed: int, with_rejected: bool) -> list[Pair]:
    """The pairs of a file, at most `limit`. Raises DataError for a record that is no pair."""
    pairs = []
    for document in read_source(source_of(data, with_rejected)):
        values = {key: document.metadata[key] for key in document.metadata if key in (data.prompt, data.rejected)}
        if wrong := [key for key, value in values.items() if not isinstance(value, str)]:
            raise DataError(f'{document.id}: "{wrong[0]}" is no text')
        prompt = values[data.prompt] if data.prompt is not None else ""
        pairs.append(Pair(prompt, document.text, values.get(data.rejected, ""), data.ended, data.ended))
    return drawn(pairs, data.limit, seed)


def encode_pair(pair: Pair, model: CausalModel, args: PairwiseArgs) -> PairExample:
    """Prompt and continuations are encoded apart, as they are when the model writes; an end that is cut off is none."""
    most = min(args.max_continuation_tokens, model.max_positions // 2)
    prompt, chosen, rejected = model.encode([pair.prompt, pair.chosen, pair.rejected])
    room = min(args.max_prompt_tokens, model.max_positions - 1 - most)

    def continued(ids: Sequence[int], ended: bool) -> list[int]:
        return [*ids, *([model.end] if ended and ids else [])][:most]

    return PairExample(
        [model.start, *prompt[-room:]], continued(chosen, pair.chosen_ended), continued(rejected, pair.rejected_ended)
    )


def read_pairs_file(file: Path) -> Iterator[Pair]:
    """The pairs of a `pairs.jsonl`. Raises ArtifactError for a damaged line."""
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), 1):
        if line:
            yield from_json(Pair, line, f"{file}:{number}")
