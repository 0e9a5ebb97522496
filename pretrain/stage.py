"""The stage of this floor: `pretrain`. Light to import; PyTorch and Megatron are loaded when it runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from infra.artifact import Artifact, fingerprint_of
from infra.errors import UnavailableError
from infra.export import ExportWith
from infra.spec import Spec
from infra.stage import Identity, Page, Plan, Stage, Table, Workspace
from pretrain.launchers import launcher_of
from pretrain.location import fingerprint
from pretrain.report import show
from pretrain.spec import PretrainSpec

_WATCHING = {"log_every", "evaluate_every", "logs", "profile"}
# How a run is carried out, not what comes out of it: a killed run may be taken up with other values of these.
_HOW = {
    "name",
    "mixture",
    "micro_batch_size",
    "checkpoint_every",
    "max_skipped",
    "parallel",
    "collective_timeout",
    "launcher",
    "recompute",
    "logits",
    "implementation",
    "compile",
    "deterministic",
    *_WATCHING,
}


def _identity(spec: PretrainSpec) -> Identity:
    later = {"loss", "start_from", "keep_every"}
    config = spec.model_dump(mode="json", exclude={**dict.fromkeys(_HOW | later, True), "optimizer": {"schedule"}})
    config |= _said(spec, "keep_every")
    config["optimizer"] |= _said(spec.optimizer, "schedule")
    config["loss"] = {
        "bands": [band.model_dump(mode="json") for band in spec.loss.effective_bands],
        "components": None if spec.loss.components is None else sorted(spec.loss.components),
        "normalise_by": spec.loss.normalise_by,
    } | _said(spec.loss, "begin_at", "by_component")
    inputs = {"mixture": fingerprint_of(spec.mixture, "mixture")}
    if spec.start_from is not None:
        config["start_from"] = spec.start_from.model_dump(mode="json", exclude={"model"})
        inputs["start_from"] = fingerprint(spec.start_from.model)
    return Identity(config, inputs)


def _said(spec: Spec, *keys: str) -> dict[str, Any]:
    """Keys that are younger than the first artifacts, which keep their fingerprints: only where they are set."""
    return spec.model_dump(mode="json", include=set(keys), exclude_defaults=True)


def _run(spec: PretrainSpec, workspace: Workspace) -> dict[str, Any]:
    if "WORLD_SIZE" in os.environ:  # torchrun has started this process, and many more: there is nothing to launch
        return train_here(spec, workspace)
    return launcher_of(spec.launcher).train(spec, workspace)


def train_here(spec: PretrainSpec, workspace: Workspace, *, verified: bool = False) -> dict[str, Any]:
    """Train in this process, as one rank of as many as the environment says; returns the counts of the artifact.

    `verified`: the mixture's checksums have been compared already.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Megatron warns at import that Apex and Transformer Engine are not there
        try:
            from pretrain.train import pretrain
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("megatron", "torch"):
                raise
            message = f"pretraining needs the package {error.name}; install it with `pip install 'hormesis[megatron]'`"
            raise UnavailableError(message) from None
        return pretrain(spec, workspace, verified=verified)


def trace_sample(folder: Path, number: int, epoch: int, seed: int, show_text: bool) -> list[Table]:
    """Documents, spans and tokens of a training sample; see `pretrain.samples`. Raises InputError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pretrain import samples

        return samples.trace_sample(folder, number, epoch, seed, show_text)


def _plan(spec: PretrainSpec) -> Plan:
    from pretrain.plan import plan

    return plan(spec)


def _show(artifact: Artifact) -> Page:
    return show(artifact)


class HuggingFaceOptions(Spec):
    """What the export of a model can be told."""

    step: Annotated[int, Field(ge=1)] | None = None
    """The kept checkpoint after this step; the finished model unless given."""


def _to_hugging_face(artifact: Artifact, folder: Path, options: HuggingFaceOptions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pretrain.handover import to_hugging_face

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
    _show,
    elsewhere=lambda spec: spec.launcher.elsewhere,
    submit=_submit,
    exports={"hf": ExportWith(HuggingFaceOptions, _to_hugging_face)},
)
