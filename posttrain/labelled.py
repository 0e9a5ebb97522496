"""Labelled text for fitting: benign and toxic, equal numbers of each, from a mixture's held-out documents or a file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow.parquet as pq

from curation.corpus.records import Span
from infra.artifacts.artifact import read_artifact
from infra.errors import AmountError, DataError, InputError
from mixtures.formats.file_names import HELD_OUT_TEXTS
from posttrain.spec import AnyLabelled, LabelledFileSpec, LabelledSpec

if TYPE_CHECKING:
    from posttrain.activations import Activations
    from posttrain.model import CausalModel

_LINE = re.compile(r"[^\n]+")


@dataclass(frozen=True)
class Example:
    """One text; `group` names the document it is from."""

    text: str
    toxic: bool
    group: str


@dataclass(frozen=True)
class Labelled:
    """`texts`, whether each is `toxic` [n] bool, and the number of its document, `groups` [n] int64.

    `activations` are what a model computed on these texts, where a pass was made already. `attributes` holds the texts
    labelled by each attribute that a method asks for by name; empty where it takes those of the section.
    """

    texts: tuple[str, ...]
    toxic: np.ndarray[Any, np.dtype[np.bool_]]
    groups: np.ndarray[Any, np.dtype[np.int64]]
    activations: Activations | None = None
    attributes: Mapping[str, Labelled] = field(default_factory=dict)

    def computed_by(self, model: CausalModel) -> Activations:
        """The activations that came with the texts, or a pass of the model over them now."""
        from posttrain.activations import last_token

        return self.activations if self.activations is not None else last_token(model, self.texts)


def read_labelled(spec: AnyLabelled, seed: int) -> Labelled:
    """Read, balance and shuffle, by the section's seed or else `seed`.

    Raises AmountError when a class has fewer than `per_class` distinct texts.
    """
    examples = held_out_examples(spec) if isinstance(spec, LabelledSpec) else file_examples(spec)
    return balance(list(examples), spec.per_class, seed if spec.seed is None else spec.seed)


def balance(examples: Sequence[Example], per_class: int, seed: int) -> Labelled:
    """`per_class` texts of each class, drawn without replacement; a text that occurs twice counts once.

    A text with both labels is dropped: no direction can separate it from itself.
    """
    first: dict[str, Example] = {}
    labels: dict[str, set[bool]] = {}
    for example in examples:
        first.setdefault(example.text, example)
        labels.setdefault(example.text, set()).add(example.toxic)
    clear = [example for text, example in first.items() if len(labels[text]) == 1]
    random = np.random.default_rng(seed)
    drawn: list[Example] = []
    for toxic in (False, True):
        of_class = [example for example in clear if example.toxic == toxic]
        if len(of_class) < per_class:
            name = "toxic" if toxic else "benign"
            raise AmountError(
                f"{per_class} {name} texts are asked (per_class) and there are {len(of_class)}; lower per_class, hold "
                "out more documents in the mixture, or give another labelled file"
            )
        drawn += [of_class[index] for index in random.choice(len(of_class), per_class, replace=False)]
    drawn = [drawn[index] for index in random.permutation(len(drawn))]
    numbers = {group: number for number, group in enumerate(dict.fromkeys(example.group for example in drawn))}
    return Labelled(
        tuple(example.text for example in drawn),
        np.array([example.toxic for example in drawn], dtype=bool),
        np.array([numbers[example.group] for example in drawn], dtype=np.int64),
    )


def held_out_examples(spec: LabelledSpec) -> Iterator[Example]:
    """Lines (or whole documents) of the documents that no arm trained on, labelled by the tagger's spans.

    Raises DataError for a document that was never tagged: an unknown label is not a benign one.
    """
    file = read_artifact(spec.mixture, "mixture").path / HELD_OUT_TEXTS
    for row, document in enumerate(pq.read_table(file).to_pylist()):
        group = f"{document['component']}/{document['id']}"
        if spec.unit == "document":
            score = dict(document["scores"] or ()).get(spec.attribute)
            if score is None:
                raise DataError(f"{file.name}:{row + 1}: document {group} has no {spec.attribute} score")
            yield Example(document["text"], score >= spec.at_or_above, group)
            continue
        if document["spans"] is None:
            raise DataError(f"{file.name}:{row + 1}: document {group} was not tagged, so its lines have no label")
        spans = [Span(**span) for span in document["spans"] if span["attribute"] == spec.attribute]
        yield from _lines(document["text"], spans, spec, group)


def _lines(text: str, spans: Sequence[Span], spec: LabelledSpec, group: str) -> Iterator[Example]:
    """Each line with the highest score among the spans that overlap it; lines of few words are left out."""
    for match in _LINE.finditer(text):
        line = match.group().strip()
        if len(line.split()) < spec.min_words:
            continue
        overlapping = [span.score for span in spans if span.start < match.end() and span.end > match.start()]
        yield Example(line, max(overlapping, default=0.0) >= spec.at_or_above, group)


def file_examples(spec: LabelledFileSpec) -> Iterator[Example]:
    """JSON Lines, compressed or not, local or remote. Raises DataError with file and line for anything malformed."""
    name = Path(spec.path).name
    try:
        with fsspec.open(spec.path, "rb", compression="infer") as file:
            for number, raw in enumerate(file, 1):
                if raw.strip():
                    yield _example(raw, spec, f"{name}:{number}")
    except FileNotFoundError:
        raise InputError(f"{spec.path}: no such file") from None
    except (EOFError, OSError) as error:
        raise DataError(f"{name}: cannot be read to its end: {error}") from None


def _example(raw: bytes, spec: LabelledFileSpec, where: str) -> Example:
    try:
        record = json.loads(raw)
    except ValueError as error:
        raise DataError(f"{where}: not JSON in UTF-8: {error}") from None
    if not isinstance(record, dict) or not isinstance(record.get(spec.text), str):
        raise DataError(f'{where}: no text under the key "{spec.text}"')
    label = record.get(spec.label)
    if not isinstance(label, (bool, int, float)) or not 0 <= label <= 1:
        raise DataError(f'{where}: "{spec.label}" is {label!r}; a label is true, false or a score from 0 to 1')
    return Example(record[spec.text], label >= spec.at_or_above, where)
