"""Texts that a tuning reads: held-out documents of a mixture, or a source; and prompts cut out of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow.parquet as pq

from curation.sources.input_files import content_of
from curation.sources.read import read_source
from curation.sources.spec import SourceSpec
from infra.artifacts.artifact import fingerprint_of, read_artifact
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError, InputError
from mixtures.formats.file_names import HELD_OUT_TEXTS
from posttrain.tuning.options import AnyTexts, HeldOutSpec, SampledSpec

if TYPE_CHECKING:
    from posttrain.model import CausalModel

T = TypeVar("T")


def fingerprint_of_texts(texts: AnyTexts) -> str:
    """Of the mixture and the names of its components, or of the source's content."""
    if isinstance(texts, HeldOutSpec):
        return digest([fingerprint_of(texts.mixture, "mixture"), texts.identity()])
    return digest(content_of(texts))


def read_texts(texts: AnyTexts) -> list[str]:
    """All of them, in order. Raises InputError for a component that the mixture has not, AmountError for none."""
    if isinstance(texts, SourceSpec):
        read, name = [document.text for document in read_source(texts)], texts.path
    else:
        read, name = _held_out(texts), texts.mixture
    if not read:
        raise AmountError(f"{name}: no texts")
    return read


def _held_out(spec: HeldOutSpec) -> list[str]:
    file = read_artifact(spec.mixture, "mixture").path / HELD_OUT_TEXTS
    rows = pq.read_table(file, columns=["component", "text"]).to_pylist()
    components = sorted({row["component"] for row in rows})
    if unknown := sorted(set(spec.components or ()) - set(components)):
        raise InputError(f"{spec.mixture}: no held-out documents of {unknown[0]!r}; there are those of "
                         f"{', '.join(components) or 'no component'}")  # fmt: skip
    return [row["text"] for row in rows if row["component"] in (spec.components or components)]


def windows(ids: Sequence[int], size: int, step: int) -> list[list[int]]:
    """Runs of `size` tokens, the first of each `step`. A shorter one counts only where it is all there is."""
    starts = [0, *range(step, len(ids) - size + 1, step)]
    return [list(ids[start : start + size]) for start in starts if ids]


def read_prompts(spec: SampledSpec, model: CausalModel, seed: int) -> list[str]:
    """Prompts of at most `prompt_tokens` tokens, with room for a continuation between two of one text."""
    step = spec.prompt_tokens + spec.max_new_tokens
    prompts = [
        model.decode(window)
        for ids in model.encode(read_texts(spec.prompts))
        for window in windows(ids, spec.prompt_tokens, step)
    ]
    return drawn(prompts, spec.limit, seed)


def drawn(items: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """At most `limit` of the items, drawn without replacement, in their order."""
    if limit is None or limit >= len(items):
        return list(items)
    chosen = np.random.default_rng(seed).choice(len(items), limit, replace=False)
    return [items[index] for index in sorted(chosen)]
