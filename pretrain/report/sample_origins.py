"""From a training sample back to the documents, spans and tokens that it is made of.

The order of samples is the trainer's own: the same streams are built, with the seed of the run and the epoch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from infra.artifacts.artifact import Artifact, read_artifact
from infra.artifacts.inputs import open_to_show
from infra.artifacts.lineage import neighbours
from infra.errors import InputError
from infra.render.page import Table
from mixtures.formats import risk
from mixtures.reading.built import BuiltMixture
from mixtures.reading.origins import SpanOfTokens, spans_of
from pretrain.data.document_ranges import DocumentRange, document_ranges
from pretrain.data.epoch import DataSettings, build_epoch
from pretrain.data.schedule import Epoch, schedule_of, streams_of
from pretrain.data.token_files import token_files_of
from pretrain.files import TOKENIZER
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec


@dataclass(frozen=True)
class TracedSample:
    """One training sample: its targets and their risk, [tokens] without padding, and the documents they come from."""

    tokens: np.ndarray[Any, Any]
    risk: risk.Bytes
    documents: tuple[DocumentRange, ...]


def trace_sample(folder: Path, number: int, epoch: int, seed: int, show_text: bool) -> list[Table]:
    """Tables of sample `number` of an epoch: what it is, its documents, the spans in it, its tokens.

    `folder` is a mixture, whose runs use `seed`, or a run. Text stays out unless asked for. Raises InputError.
    """
    artifact = open_to_show(folder)
    known = neighbours(folder)
    mixture = BuiltMixture.open(open_to_show(_mixture_of(artifact, known).path).path, verify=False)
    seed = int(artifact.config["seed"]) if artifact.kind == "pretrain" else seed
    scheduled = _scheduled(artifact, mixture, epoch)
    sample = read_sample(mixture, number, scheduled.order_seed(seed), scheduled.cooldown)
    curation = known.get(read_artifact(mixture.path).inputs["curation"])
    about = f"Sample {number} of epoch {epoch}, seed {seed}"
    if artifact.kind == "pretrain":
        about += f", step {number // int(artifact.config['global_batch_size']) + 1} of that epoch"
    return [
        _documents(f"{about}: {len(sample.tokens)} targets", sample),
        _spans(mixture, None if curation is None else curation.path, sample, show_text),
        _tokens(mixture, sample, show_text),
    ]


def read_sample(mixture: BuiltMixture, number: int, seed: int, cooldown: bool = False) -> TracedSample:
    """Sample `number` of the epoch that the trainer presents under `seed`, before the cooldown or in it.

    Raises InputError where there is none.
    """
    facts = mixture.facts
    with tempfile.TemporaryDirectory() as cache, process_groups(ParallelSpec(), 0):
        settings = DataSettings(mixture.sequence_length, facts.vocab_size, facts.eos_id, Path(cache), mixture.packing)
        dataset = build_epoch(token_files_of(mixture, cooldown), settings, seed)
        if number >= len(dataset):
            raise InputError(f"--sample {number}: an epoch over {mixture.path} has {len(dataset):,} samples, from 0")
        row, ranges = dataset.read(range(number, number + 1)), dataset.target_ranges(number)
    documents = tuple(document_ranges(mixture, ranges))
    size = documents[-1].last
    return TracedSample(row.text[0, 1 : size + 1], row.risk[0, 1 : size + 1], documents)


def _mixture_of(artifact: Artifact, known: Mapping[str, Artifact]) -> Artifact:
    """The mixture itself, or that of a run."""
    if artifact.kind == "mixture":
        return artifact
    if artifact.kind != "pretrain":
        raise InputError(
            f"{artifact.path}: is a {artifact.kind} artifact; training samples are those of a mixture or run"
        )
    mixture = known.get(artifact.inputs["mixture"])
    if mixture is None:
        raise InputError(
            f"{artifact.path}: its mixture {artifact.inputs['mixture'][:12]} is not beside it; put it there"
        )
    return mixture


def _scheduled(artifact: Artifact, mixture: BuiltMixture, epoch: int) -> Epoch:
    """Epoch number `epoch` of a run, those of its cooldown counted on; of a mixture, any epoch before a cooldown."""
    if artifact.kind != "pretrain":
        return Epoch(epoch, False, 0)
    epochs, batch = int(artifact.config["epochs"]), int(artifact.config["global_batch_size"])
    schedule = schedule_of(streams_of(mixture), mixture.sequence_length, epochs, batch)
    if epoch >= len(schedule):
        raise InputError(f"--epoch {epoch}: the run {artifact.path} has {len(schedule)} epochs, from 0")
    return schedule[epoch]


def _documents(title: str, sample: TracedSample) -> Table:
    columns = ("targets", "component", "corpus", "shard", "row", "document", "its tokens", "of", "repetition")
    rows = tuple(
        (
            f"{document.first}-{document.last - 1}",
            document.origin.component,
            document.origin.corpus,
            document.origin.shard,
            document.origin.row,
            document.origin.id,
            f"{document.origin.token}-{document.origin.token + document.last - document.first - 1}",
            document.origin.tokens,
            document.origin.epoch,
        )
        for document in sample.documents
    )
    return Table(title, columns, rows)


def _spans(mixture: BuiltMixture, curation: Path | None, sample: TracedSample, show_text: bool) -> Table:
    """Spans of the tagged corpus; why there are none to show is said in the title."""
    columns = ("targets", "document", "characters", "attribute", "score", *(["text"] if show_text else []))
    if curation is None:
        return Table("Spans: the curation is not beside the mixture, so only the tokens' risk is known", columns, ())
    rows: list[tuple[object, ...]] = []
    changed = 0
    for document in sample.documents:
        spans = spans_of(mixture, curation, document.origin, sample.tokens[document.first : document.last])
        changed += spans is None
        rows += [_span(document, span, show_text) for span in spans or ()]
    title = f"Spans; {changed} documents were changed before they became tokens" if changed else "Spans"
    return Table(title, columns, tuple(rows))


def _span(document: DocumentRange, span: SpanOfTokens, show_text: bool) -> tuple[object, ...]:
    targets = f"{document.first + span.first}-{document.first + span.last - 1}"
    text = (span.text,) if show_text else ()
    return (targets, document.origin.id, f"{span.start}-{span.end}", span.attribute, round(span.score, 4), *text)


def _tokens(mixture: BuiltMixture, sample: TracedSample, show_text: bool) -> Table:
    tokenizer = Tokenizer.from_file(str(mixture.tokenizer / TOKENIZER))
    named = {risk.UNSCORED: "unscored", risk.LOWEST: "lowest", risk.STRUCTURAL: "structural"}
    scores = risk.decode(sample.risk)
    rows = []
    for target, (token, level) in enumerate(zip(sample.tokens.tolist(), sample.risk.tolist(), strict=True)):
        score = named.get(level, f"{scores[target]:.4g}")
        text = (tokenizer.decode([token], skip_special_tokens=False),) if show_text else ()
        rows.append((target, token, level, score, *text))
    return Table("Tokens", ("target", "id", "risk byte", "score", *(["text"] if show_text else [])), tuple(rows))
