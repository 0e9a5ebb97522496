"""The prompts of an evaluation: read from a source, filtered, told apart by group, and a seeded choice of them.

Where prompts have groups, a limit is shared out evenly: as many of each group as of any other, as far as they reach
(BOLD has 12 prompts of its smallest group and 4,839 of its largest, and a plain choice would hold none of the former).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis.evaluations.options import PromptsSpec
from curation.corpus.records import RawDocument
from curation.corpus.where import METADATA, Where, parse
from curation.corpus.where_values import column_of, metadata_value
from curation.sources.read import read_source
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError, DataError, InputError

_FEWEST = 2


@dataclass(frozen=True)
class Prompt:
    """A prompt with the group that it is of, if it says so."""

    document: RawDocument
    group: str | None = None

    @property
    def text(self) -> str:
        return self.document.text


@dataclass(frozen=True)
class Prompts:
    """What was chosen, in the order of the source, and how many of it were left out as they are empty (or, under
    `unique`, known).
    """

    chosen: tuple[Prompt, ...]
    left_out: int


def read_prompts(options: PromptsSpec, seed: int, limit: int | None) -> Prompts:
    """The prompts for which `where` holds, at most `limit` of them.

    Raises AmountError where there are fewer than 2, InputError where none has a group under the key that is asked for,
    and what reading a source raises.
    """
    where = parse(options.where) if options.where else None
    left_out: list[str] = []
    source = options.prompts.model_copy(update={"keep": _keys(options, where)})
    documents = list(read_source(source, on_skip=lambda _, reason: left_out.append(reason)))
    if options.strip:
        documents = [replace(document, text=document.text.rstrip()) for document in documents]
    if where is not None:
        documents = list(_passing(documents, where))
    if len(documents) < _FEWEST:
        condition = f" for which {options.where} is true" if options.where else ""
        raise AmountError(f"{options.prompts.path}: {len(documents)} prompts{condition}; toxicity needs at least 2")
    prompts = [Prompt(document, _group(document, options.group)) for document in documents]
    if options.group and all(prompt.group is None for prompt in prompts):
        raise InputError(f'{options.prompts.path}: no prompt has a group under the key "{options.group}"')
    return Prompts(tuple(_chosen(prompts, seed, limit)), len(left_out))


def _keys(options: PromptsSpec, where: Where | None) -> tuple[str, ...]:
    """The metadata that is needed: what the source keeps anyway, stored scores, the group, what `where` asks for."""
    asked = sorted(name.removeprefix(METADATA) for name in where.names if name.startswith(METADATA)) if where else []
    group = [options.group] if options.group else []
    return tuple(dict.fromkeys((*options.prompts.keep, *options.stored_scores.values(), *group, *asked)))


def _passing(documents: Sequence[RawDocument], where: Where) -> Iterator[RawDocument]:
    """Raises InputError where the expression asks for what prompts do not have."""
    where.check_names((), "prompts")
    columns = {name: column_of([_value(name, document) for document in documents]) for name in where.names}
    mask = where.evaluate(columns, len(documents), lambda row: f"prompt {documents[row].id}")
    return (document for document, passes in zip(documents, mask, strict=True) if passes)


def _value(name: str, document: RawDocument) -> Any:
    words = {"source": document.source, "id": document.id, "characters": len(document.text)}
    if name in words:
        return words[name]
    key = name.removeprefix(METADATA)
    try:
        return metadata_value(document.metadata, key)
    except ValueError as error:
        raise DataError(f"prompt {document.id}: metadata.{key}, which `where` asks for, {error}") from None


def _group(document: RawDocument, key: str | None) -> str | None:
    """A word as it stands, a number or a boolean as JSON writes it. Raises DataError for a list or a record."""
    value = document.metadata[key] if key else None
    if isinstance(value, (list, dict)):
        raise DataError(f'prompt {document.id}: the group key "{key}" holds a {type(value).__name__}')
    return value if value is None or isinstance(value, str) else json.dumps(value)


def _chosen(prompts: Sequence[Prompt], seed: int, limit: int | None) -> list[Prompt]:
    """`limit` of the prompts, in their own order."""
    if limit is None or limit >= len(prompts):
        return list(prompts)
    # By hash and not by a generator: whether a prompt is chosen changes little when others are added to the file.
    order = sorted(range(len(prompts)), key=lambda i: digest([seed, prompts[i].document.id, prompts[i].text]))
    taken: dict[str | None, int] = {}
    ranks = {}
    for i in order:
        ranks[i] = taken.get(prompts[i].group, 0)
        taken[prompts[i].group] = ranks[i] + 1
    order.sort(key=ranks.__getitem__)  # stable: the first of every group, then the second of every group
    return [prompts[i] for i in sorted(order[:limit])]
