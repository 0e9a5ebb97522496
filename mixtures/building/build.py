"""The mixture stage: tokenizer and tokens from the store, then each component's documents copied in order."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from infra.artifacts.artifact import Artifact
from infra.artifacts.fingerprint import digest
from infra.artifacts.records import JsonObject, to_json
from infra.atomic import write_bytes, write_json
from infra.jobs.base import Workers
from infra.jobs.execute import opened
from infra.jobs.items import alone, for_each, forget_jobs
from infra.stages.stage import Workspace
from mixtures.building.gather import Located, locate
from mixtures.building.pieces import files_to_hash, forget, hash_file, reserve, write_piece
from mixtures.building.streams import Stream, pieces_of, stream_of
from mixtures.building.write import finish_component, write_documents, write_held_out_texts
from mixtures.contamination.hits import report
from mixtures.contamination.stage import look_for_sets
from mixtures.corpora.provenance import provenance
from mixtures.corpora.select import all_of
from mixtures.formats import risk
from mixtures.formats.file_names import BLEND, HELD_OUT, HELD_OUT_TEXTS, MANIFEST, PROVENANCE
from mixtures.formats.long_arrays import mapped_in
from mixtures.overlap.measure import measure
from mixtures.overlap.stage import find_duplicates
from mixtures.reading.manifest import FORMAT, ComponentRecord, MixtureManifest, RiskRecord
from mixtures.selection.resolve import Component, TokenisedCorpus, open_corpora, open_tokens, prepared, resolve
from mixtures.spec.mixture import MixtureSpec, PackingSpec, Source, tokenizer_stage_spec
from mixtures.store import inner
from mixtures.store.locations import tokenizer_folder, tokens_folder, tokens_spec
from mixtures.store.stages import TOKENIZER, TOKENS
from mixtures.tokenizing.corpus_tokens import make
from mixtures.tokenizing.tokenizer import read_facts

ARRAYS = ".arrays"  # in the work folder, while it is built
SMALL = 5_000_000  # tokens: below that, handing the components to other processes takes longer than copying them
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "hormesis_tokenizer.json")


def build(spec: MixtureSpec, workspace: Workspace) -> JsonObject:
    """Build a mixture in `workspace.path`; returns its artifact's counts. Raises AmountError, InputError, DataError."""
    with mapped_in(workspace.path / ARRAYS):
        return _build(spec, workspace)


def _build(spec: MixtureSpec, workspace: Workspace) -> JsonObject:
    folder = workspace.path
    corpora = open_corpora(spec)
    with opened(workspace, spec.execution) as workers:
        tokenizer = make_tokenizer(spec, workspace)
        sources = {
            source: open_tokens(corpora[source[0]], make_tokens(spec, source, tokenizer.path, workspace, workers).path)
            for source in spec.sources
        }
        contaminated = look_for_sets(spec, corpora, workspace, workers)
        components = prepared(spec, resolve(spec, sources, contaminated), tokenizer.path)
        streams = _streams(components, folder)
        write_streams(streams, workspace, workers)
        like = None if spec.overlap is None else find_duplicates(spec, corpora, workspace, workers)
    for name in _TOKENIZER_FILES:
        write_bytes(folder / "tokenizer" / name, (tokenizer.path / name).read_bytes())
    training, held_out = streams[: len(components)], streams[len(components) :]
    records = [finish_component(*files) for files in zip(components, training, held_out, strict=True)]
    write_documents(list(zip(components, training, strict=True)), folder, prefixes=spec.conditioning is not None)
    write_held_out_texts(components, folder / HELD_OUT_TEXTS)
    left_out = {component.name: component.contaminated for component in components}
    manifest = replace(
        _manifest(spec, records, folder),
        decontamination=None if spec.decontaminate is None else report(spec.decontaminate, contaminated, left_out),
        overlap=None if like is None else tuple(measure(components, like)),
    )
    write_json(folder / BLEND, _blend(records))
    write_json(folder / PROVENANCE, to_json(provenance(spec.curation, corpora)))
    write_json(folder / MANIFEST, to_json(manifest))
    forget_jobs(workspace)  # first: a job that is marked as done must find its files
    forget(streams, folder)
    return {
        "tokens": manifest.tokens,
        "held_out_tokens": sum(record.held_out.tokens for record in records),
        "components": {record.name: record.tokens for record in records},
        "content_sha256": manifest.content_sha256,
    }


def _streams(components: list[Component], folder: Path) -> list[Stream]:
    """What is to be written: the training files of all components, then their held-out files."""
    located: dict[Path, Located] = {}

    def located_in(source: TokenisedCorpus) -> Located:
        if source.tokens not in located:
            located[source.tokens] = locate(source)
        return located[source.tokens]

    training, held_out = [], []
    for component in components:
        source, whole = located_in(component.source), located_in(component.whole)
        training.append(
            stream_of(component.name, folder, source, component.training, component.selection, component.prefixes,
                      component.replaced)
        )  # fmt: skip
        everything = all_of(component.held_out)
        held_out.append(stream_of(f"{HELD_OUT}/{component.name}", folder, whole, component.held_out, everything))
    return training + held_out


def write_streams(streams: list[Stream], workspace: Workspace, workers: Workers | None) -> None:
    """Write and hash the token files; a piece of a file is a rank, and then a whole file is."""
    if sum(stream.tokens for stream in streams) < SMALL:
        workspace, workers = alone(workspace), None
    pieces = [pieces_of(stream) for stream in streams]
    made = [reserve(stream, len(cut)) for stream, cut in zip(streams, pieces, strict=True)]
    if any(made):
        forget_jobs(workspace)  # what they wrote is not there
    ranks = [piece for cut in pieces for piece in cut]
    for_each("write mixture", write_piece, ranks, map(str, ranks), workspace, workers)
    files = files_to_hash(streams)
    for_each("hash mixture", hash_file, files, [path.name for path in files], workspace, workers)


def make_tokenizer(spec: MixtureSpec, workspace: Workspace) -> Artifact:
    """The mixture's tokenizer artifact in the store, made if it is not there."""
    stage_spec = tokenizer_stage_spec(spec)
    target = tokenizer_folder(spec, workspace.store)
    return inner.make(TOKENIZER, stage_spec, target, workspace)


def make_tokens(
    spec: MixtureSpec, source: Source, tokenizer: Path, workspace: Workspace, workers: Workers | None = None
) -> Artifact:
    """The tokens artifact of `source` in the store, made by `workers` if it is not there."""
    stage_spec = tokens_spec(spec, source, tokenizer)
    target = tokens_folder(spec, source, tokenizer, workspace.store)
    stage = replace(TOKENS, run=partial(make, workers=workers))
    return inner.make(stage, stage_spec, target, workspace)


def _blend(records: list[ComponentRecord]) -> JsonObject:
    """Megatron's blend: prefixes relative to the mixture, and their weights in tokens."""
    trained = [record for record in records if record.tokens]
    return {"prefixes": [record.name for record in trained], "weights": [record.tokens for record in trained]}


def _manifest(spec: MixtureSpec, records: list[ComponentRecord], folder: Path) -> MixtureManifest:
    content = []
    for record in records:
        content.append([record.name, record.tokens, *record.hashes])
        content.append([None, record.held_out.tokens, *record.held_out.hashes])
    return MixtureManifest(
        format=FORMAT,
        seed=spec.seed,
        sequence_length=spec.sequence_length,
        risk=RiskRecord(attribute=spec.risk, unscored=risk.UNSCORED, structural=risk.STRUCTURAL),
        tokenizer=read_facts(folder / "tokenizer"),
        tokens=sum(record.tokens for record in records),
        components=tuple(records),
        held_out=HELD_OUT,
        content_sha256=digest(content),
        card=spec.card,
        packing=None if spec.packing == PackingSpec() else spec.packing,
        conditioning=None if spec.conditioning is None else spec.conditioning.model_dump(mode="json"),
    )
