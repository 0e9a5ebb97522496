"""The mixture stage: tokenizer and tokens from the store, then each component's documents copied in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.artifact import Artifact
from infra.atomic import write_bytes, write_json
from infra.fingerprint import digest
from infra.stage import Workspace, run_stage
from mixtures import risk
from mixtures.catalogue import open_corpora, open_tokens, prepared, resolve
from mixtures.contamination.found import report
from mixtures.contamination.stage import look_for_sets
from mixtures.overlap.measure import measure
from mixtures.overlap.stage import find_duplicates
from mixtures.provenance import PROVENANCE, provenance
from mixtures.spec import MixtureSpec, Source, TokensSpec, tokenizer_stage_spec, used
from mixtures.tokenizer import read_facts
from mixtures.write import (
    HELD_OUT,
    documents_part,
    done_path,
    merge_documents,
    write_component,
    write_held_out_texts,
)

FORMAT = 1
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "hormesis_tokenizer.json")


def build(spec: MixtureSpec, workspace: Workspace) -> dict[str, Any]:
    """Build a mixture in `workspace.path`. Raises AmountError, InputError, DataError."""
    folder = workspace.path
    corpora = open_corpora(spec)
    tokenizer = make_tokenizer(spec, workspace)
    sources = {
        source: open_tokens(spec.curation, source[0], make_tokens(spec, source, tokenizer.path, workspace).path)
        for source in spec.sources
    }
    contaminated = look_for_sets(spec, corpora, workspace)
    components = prepared(spec, resolve(spec, sources, contaminated), tokenizer.path)
    for name in _TOKENIZER_FILES:
        write_bytes(folder / "tokenizer" / name, (tokenizer.path / name).read_bytes())
    total = sum(each.wanted + each.prefix_tokens + int(each.held_out.tokens.sum()) for each in components)
    with workspace.progress("write mixture", total, "tokens") as advance:
        records = [write_component(each, folder, advance) for each in components]
    merge_documents([each.name for each in components], folder, prefixes=spec.conditioning is not None)
    write_held_out_texts(components, folder / "held_out.parquet")
    manifest = _manifest(spec, records, folder)
    if spec.decontaminate is not None:
        manifest["decontamination"] = report(spec.decontaminate, contaminated, components)
    if spec.overlap is not None:
        manifest["overlap"] = measure(components, find_duplicates(spec, corpora, workspace))
    write_json(folder / "blend.json", _blend(records))
    write_json(folder / PROVENANCE, provenance(spec.curation, list(corpora)))
    write_json(folder / "mixture.json", manifest)
    for each in components:
        done_path(folder, each.name).unlink()
        documents_part(folder, each.name).unlink()
    return {
        "tokens": manifest["tokens"],
        "held_out_tokens": sum(record["held_out"]["tokens"] for record in records),
        "components": {record["name"]: record["tokens"] for record in records},
        "content_sha256": manifest["content_sha256"],
    }


def make_tokenizer(spec: MixtureSpec, workspace: Workspace) -> Artifact:
    """The mixture's tokenizer artifact in the store, made if it is not there."""
    from mixtures.stage import TOKENIZER

    wanted = tokenizer_stage_spec(spec)
    target = tokenizer_place(spec, workspace.store)
    return run_stage(TOKENIZER, wanted, target, store=workspace.store, workers=workspace.workers, quiet=workspace.quiet)


def make_tokens(spec: MixtureSpec, source: Source, tokenizer: Path, workspace: Workspace) -> Artifact:
    """The tokens artifact of `source` in the store, made if it is not there."""
    from mixtures.stage import TOKENS

    wanted = _tokens_spec(spec, source, tokenizer)
    target = tokens_place(spec, source, tokenizer, workspace.store)
    return run_stage(TOKENS, wanted, target, store=workspace.store, workers=workspace.workers, quiet=workspace.quiet)


def tokenizer_place(spec: MixtureSpec, store: Path) -> Path:
    """Where the mixture's tokenizer is, or would be, in `store`."""
    from mixtures.stage import TOKENIZER

    return store / f"tokenizer-{TOKENIZER.fingerprint(tokenizer_stage_spec(spec))[:12]}"


def tokens_place(spec: MixtureSpec, source: Source, tokenizer: Path, store: Path) -> Path:
    """Where the tokens of `source` are, or would be, in `store`."""
    from mixtures.stage import TOKENS

    return store / f"tokens-{source[0]}-{TOKENS.fingerprint(_tokens_spec(spec, source, tokenizer))[:12]}"


def _tokens_spec(spec: MixtureSpec, source: Source, tokenizer: Path) -> TokensSpec:
    corpus, cut = source
    return TokensSpec(curation=spec.curation, corpus=corpus, tokenizer=str(tokenizer), risk=spec.risk, cut=cut)


def _blend(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Megatron's blend: prefixes relative to the mixture, and their weights in tokens."""
    trained = [record for record in records if record["tokens"]]
    return {"prefixes": [record["name"] for record in trained], "weights": [record["tokens"] for record in trained]}


def _manifest(spec: MixtureSpec, records: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    hashes = ("name", "tokens", "tokens_sha256", "risk_sha256", "idx_sha256")
    content = [[each.get(key) for key in hashes] for record in records for each in (record, record["held_out"])]
    return {
        "format": FORMAT,
        "seed": spec.seed,
        "sequence_length": spec.sequence_length,
        "risk": {"attribute": spec.risk, "unscored": risk.UNSCORED, "structural": risk.STRUCTURAL},
        "tokenizer": read_facts(folder / "tokenizer").__dict__,
        "tokens": sum(record["tokens"] for record in records),
        "components": records,
        "held_out": HELD_OUT,
        "content_sha256": digest(content),
        **({"card": spec.card.model_dump(mode="json")} if spec.card else {}),
        **used(spec, "packing", "conditioning"),
    }
