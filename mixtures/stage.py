"""The stages of this floor: `mixture` for users, `tokenizer` and `tokens` behind it in the store. Light to import."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from curation.steps.decontaminate import contents_of
from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.export import ExportWith
from infra.artifacts.inputs import input_digest
from infra.errors import InputError
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from mixtures.hub import pinned
from mixtures.spec.handover import OlmoCoreOptions
from mixtures.spec.megatron import digest_megatron
from mixtures.spec.mixture import MixtureSpec, TokenizerSpec, TokenizerStageSpec, TokensSpec


def _tokenizer_files(source: TokenizerSpec) -> dict[str, str]:
    """Content hashes of a tokenizer.json and of the configuration beside it."""
    if source.file is None:
        return {}
    path = Path(source.file)
    if not path.is_file():
        raise InputError(f"tokenizer.file: {path}: no such file")
    files = {"tokenizer.json": path, "tokenizer_config.json": path.with_name("tokenizer_config.json")}
    return {name: input_digest(file) for name, file in files.items() if file.is_file()}


def _tokenizer_identity(spec: TokenizerStageSpec) -> Identity:
    inputs = _tokenizer_files(spec.source)
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


def _mixture_identity(spec: MixtureSpec) -> Identity:
    inputs = _tokenizer_files(spec.tokenizer)
    if spec.curation is not None:
        inputs |= {"curation": fingerprint_of(spec.curation, "curation")}
    for name in {each.corpus: None for each in spec.components.values() if each.corpus in spec.megatron}:
        inputs |= {f"megatron {name}": digest_megatron(spec.megatron[name])}
    if spec.decontaminate is not None:
        contents = contents_of(spec.decontaminate.benchmarks)
        inputs |= {f"decontaminate.{name}": value for name, value in contents.items()}
    return Identity(spec.model_copy(update={"tokenizer": pinned(spec.tokenizer)}).identity(), inputs)


def _run_tokenizer(spec: TokenizerStageSpec, workspace: Workspace) -> dict[str, Any]:
    from mixtures.tokenizing.tokenizer import make

    return {"vocab_size": make(spec, workspace.path).vocab_size}


def _run_tokens(spec: TokensSpec, workspace: Workspace) -> dict[str, Any]:
    from mixtures.tokenizing.corpus_tokens import make

    return make(spec, workspace)


def _run_mixture(spec: MixtureSpec, workspace: Workspace) -> dict[str, Any]:
    from mixtures.building.build import build

    return build(spec, workspace)


def _plan_mixture(spec: MixtureSpec) -> Plan:
    from mixtures.planning.plan import plan_mixture

    return plan_mixture(spec)


def _show_mixture(artifact: Artifact) -> Page:
    from mixtures.handover.page import show_mixture

    return show_mixture(artifact)


def _to_olmo_core(artifact: Artifact, folder: Path, options: OlmoCoreOptions) -> None:
    from mixtures.handover.olmo_core import to_olmo_core

    to_olmo_core(artifact, folder, options)


def _to_huggingface(artifact: Artifact, folder: Path) -> None:
    from mixtures.handover.huggingface import to_huggingface

    to_huggingface(artifact, folder)


def _plan_inner(spec: TokenizerStageSpec | TokensSpec) -> Plan:
    return Plan("made in the store when a mixture needs it", ())


def _show_counts(artifact: Artifact) -> Page:
    rows = tuple((key, re.sub(r"[\[\]{}']", "", str(value))) for key, value in artifact.counts.items())
    return Page(f"{artifact.kind} {artifact.path.name}", (Table("counts", ("what", "value"), rows),), "")


TOKENIZER = Stage(
    kind="tokenizer",
    version=2,
    spec=TokenizerStageSpec,
    identity=_tokenizer_identity,
    run=_run_tokenizer,
    plan=_plan_inner,
    show=_show_counts,
)
TOKENS = Stage(
    kind="tokens",
    version=3,
    spec=TokensSpec,
    identity=_tokens_identity,
    run=_run_tokens,
    plan=_plan_inner,
    show=_show_counts,
)
MIXTURE = Stage(
    kind="mixture",
    version=1,
    spec=MixtureSpec,
    identity=_mixture_identity,
    run=_run_mixture,
    plan=_plan_mixture,
    show=_show_mixture,
    exports={"olmo-core": ExportWith(OlmoCoreOptions, _to_olmo_core), "hf": _to_huggingface},
    on_ray=True,
)
