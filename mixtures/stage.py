"""The stage of this floor for users: `mixture`. Light to import."""

from __future__ import annotations

from pathlib import Path

from curation.steps.decontaminate import contents_of
from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.export import ExportWith
from infra.artifacts.records import JsonObject
from infra.render.page import Page, Plan
from infra.stages.stage import Identity, Stage, Workspace
from mixtures.hub import pinned
from mixtures.spec.handover import OlmoCoreOptions
from mixtures.spec.megatron import digest_megatron
from mixtures.spec.mixture import MixtureSpec
from mixtures.store.stages import tokenizer_files


def _mixture_identity(spec: MixtureSpec) -> Identity:
    inputs = tokenizer_files(spec.tokenizer)
    if spec.curation is not None:
        inputs |= {"curation": fingerprint_of(spec.curation, "curation")}
    for name in dict.fromkeys(component.corpus for component in spec.components.values()):
        if name in spec.megatron:
            inputs |= {f"megatron {name}": digest_megatron(spec.megatron[name])}
    if spec.decontaminate is not None:
        contents = contents_of(spec.decontaminate.benchmarks)
        inputs |= {f"decontaminate.{name}": value for name, value in contents.items()}
    return Identity(spec.model_copy(update={"tokenizer": pinned(spec.tokenizer)}).identity(), inputs)


def _run_mixture(spec: MixtureSpec, workspace: Workspace) -> JsonObject:
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
