"""The stage of this floor: `pretrain`. Light to import; PyTorch and Megatron are loaded when it runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.export import ExportWith
from infra.artifacts.records import JsonObject
from infra.config.spec import Spec
from infra.render.page import Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from pretrain.huggingface.location import fingerprint
from pretrain.launchers import launcher_of
from pretrain.report.page import show
from pretrain.spec import PretrainSpec
from pretrain.training.here import train_here


def _identity(spec: PretrainSpec) -> Identity:
    inputs = {"mixture": fingerprint_of(spec.mixture, "mixture")}
    if spec.start_from is not None:
        inputs["start_from"] = fingerprint(spec.start_from.model)
    return Identity(spec.identity(), inputs)


def _run(spec: PretrainSpec, workspace: Workspace) -> JsonObject:
    if "WORLD_SIZE" in os.environ:  # torchrun has started this process, and many more: there is nothing to launch
        return train_here(spec, workspace)
    return launcher_of(spec.launcher).train(spec, workspace)


def trace_sample(folder: Path, number: int, epoch: int, seed: int, show_text: bool) -> list[Table]:
    """Documents, spans and tokens of a training sample; see `pretrain.report.sample_origins`. Raises InputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pretrain.report import sample_origins

        return sample_origins.trace_sample(folder, number, epoch, seed, show_text)


def _plan(spec: PretrainSpec) -> Plan:
    from pretrain.planning.plan import plan

    return plan(spec)


class HuggingFaceOptions(Spec):
    """What the export of a model can be told."""

    step: Annotated[int, Field(ge=1)] | None = None
    """The kept checkpoint after this step; the finished model unless given."""


def _to_hugging_face(artifact: Artifact, folder: Path, options: HuggingFaceOptions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pretrain.training.handover import to_hugging_face

        to_hugging_face(artifact, folder, options.step)


def _submit(todo: Sequence[tuple[PretrainSpec, Path]], logs: Path) -> None:
    from pretrain.launchers.slurm import submit_together

    submit_together(todo, logs)


PRETRAIN = Stage(
    "pretrain",
    1,
    PretrainSpec,
    _identity,
    _run,
    _plan,
    show,
    elsewhere=lambda spec: spec.launcher.elsewhere,
    submit=_submit,
    exports={"hf": ExportWith(HuggingFaceOptions, _to_hugging_face)},
)
