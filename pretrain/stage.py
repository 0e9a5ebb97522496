"""The stage of this floor: `pretrain`. Light to import; PyTorch and Megatron are loaded when it runs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.export import ExportWith
from infra.config.spec import Spec
from infra.render.page import Plan, Table
from infra.stages.stage import Identity, Stage
from pretrain.huggingface.location import fingerprint
from pretrain.launchers import launched
from pretrain.report.page import show
from pretrain.spec import PretrainSpec
from pretrain.training.here import train_as_rank, train_here


def _identity(spec: PretrainSpec) -> Identity:
    inputs = {"mixture": fingerprint_of(spec.mixture, "mixture")}
    if spec.start_from is not None:
        inputs["start_from"] = fingerprint(spec.start_from.model)
    return Identity(spec.identity(), inputs)


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


def _check(specs: Sequence[PretrainSpec], verify: bool) -> None:
    from pretrain.start.inputs import check_inputs

    check_inputs(specs, verify)


PRETRAIN = launched(
    Stage(
        "pretrain",
        1,
        PretrainSpec,
        _identity,
        train_here,
        _plan,
        show,
        exports={"hf": ExportWith(HuggingFaceOptions, _to_hugging_face)},
    ),
    as_rank=train_as_rank,
    check=_check,
)
