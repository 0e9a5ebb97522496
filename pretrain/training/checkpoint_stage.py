"""`checkpoint`: a training at an earlier step as an artifact of its own, a model like any other. Light to import."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

from pydantic import Field

from infra.artifacts.artifact import Artifact, read_artifact
from infra.config.identity import NotIdentity
from infra.config.spec import FileName, Location, Spec
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from pretrain.files import MODEL
from pretrain.huggingface.location import fingerprint


class CheckpointSpec(Spec):
    """One of the checkpoints that a training kept, as a Hugging Face folder."""

    name: Annotated[FileName, NotIdentity]
    """Name of the artifact: runs/NAME."""
    model: Annotated[Location, NotIdentity]
    """Pretraining artifact that kept it (`keep_every`)."""
    step: int = Field(ge=1)
    """Optimizer step after which it was made."""


def _identity(spec: CheckpointSpec) -> Identity:
    return Identity(spec.identity(), {"model": fingerprint(spec.model)})


def _run(spec: CheckpointSpec, workspace: Workspace) -> dict[str, Any]:
    """Raises InputError when the training kept no checkpoint of the step, and says which it kept."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pretrain.training.handover import to_hugging_face

        training = read_artifact(spec.model, "pretrain")
        folder = workspace.path / MODEL
        folder.mkdir(exist_ok=True)
        to_hugging_face(training, folder, spec.step)
    return {"step": spec.step, "of_steps": training.counts["steps"]}


def _facts(spec: CheckpointSpec) -> Table:
    return Table("Checkpoint", ("what", "value"), (("training", spec.model), ("step", spec.step)))


def _plan(spec: CheckpointSpec) -> Plan:
    return Plan(f"checkpoint {spec.name}", (_facts(spec),), ("nothing is trained",), ())


def _show(artifact: Artifact) -> Page:
    counts = read_artifact(artifact.path).counts
    facts = Table("Checkpoint", ("what", "value"), (("step", counts["step"]), ("steps in all", counts["of_steps"])))
    return Page(artifact.path.name, (facts,))


CHECKPOINT = Stage("checkpoint", 1, CheckpointSpec, _identity, _run, _plan, _show)
