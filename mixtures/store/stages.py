"""The stages `tokenizer` and `tokens`, whose artifacts all doses of a mixture share. Light to import."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import fingerprint_of
from infra.artifacts.inputs import input_digest
from infra.artifacts.records import JsonObject
from infra.errors import InputError
from infra.stages.stage import Identity, Workspace
from mixtures.hub import pinned
from mixtures.spec.megatron import digest_megatron
from mixtures.spec.mixture import TokenizerSpec, TokenizerStageSpec, TokensSpec
from mixtures.store.inner import inner_stage


def tokenizer_files(source: TokenizerSpec) -> dict[str, str]:
    """Content hashes of a tokenizer.json and of the configuration beside it."""
    if source.file is None:
        return {}
    path = Path(source.file)
    if not path.is_file():
        raise InputError(f"tokenizer.file: {path}: no such file")
    files = {"tokenizer.json": path, "tokenizer_config.json": path.with_name("tokenizer_config.json")}
    return {name: input_digest(file) for name, file in files.items() if file.is_file()}


def _tokenizer_identity(spec: TokenizerStageSpec) -> Identity:
    inputs = tokenizer_files(spec.source)
    if spec.curation is not None:
        inputs |= {"curation": fingerprint_of(spec.curation, "curation")}
    return Identity(spec.model_copy(update={"source": pinned(spec.source)}).identity(), inputs)


def _tokens_identity(spec: TokensSpec) -> Identity:
    inputs = {"tokenizer": fingerprint_of(spec.tokenizer, "tokenizer")}
    if spec.megatron is None:
        assert spec.curation is not None
        inputs |= {"curation": fingerprint_of(spec.curation, "curation")}
    else:
        inputs |= {"megatron": digest_megatron(spec.megatron)}
    return Identity(spec.identity(), inputs)


def _run_tokenizer(spec: TokenizerStageSpec, workspace: Workspace) -> JsonObject:
    from mixtures.tokenizing.tokenizer import make

    return {"vocab_size": make(spec, workspace.path).vocab_size}


def _run_tokens(spec: TokensSpec, workspace: Workspace) -> JsonObject:
    from mixtures.tokenizing.corpus_tokens import make

    return make(spec, workspace)


TOKENIZER = inner_stage("tokenizer", TokenizerStageSpec, _tokenizer_identity, _run_tokenizer, version=2)
TOKENS = inner_stage("tokens", TokensSpec, _tokens_identity, _run_tokens, version=3)
