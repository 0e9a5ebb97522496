"""`kind: tune`: change a model's weights. Light to import; TRL and PyTorch are loaded when it runs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from infra.artifacts.artifact import Artifact
from infra.artifacts.records import JsonObject
from infra.render.page import Page, Plan
from infra.stages.stage import Identity, Stage, Workspace
from posttrain.tuning import TUNINGS
from posttrain.tuning.spec import TuneSpec
from pretrain.files import MODEL
from pretrain.huggingface.location import fingerprint
from pretrain.launchers import launched
from pretrain.processes.sbatch import batch_script


def identity(spec: TuneSpec) -> Identity:
    """Method, its data and the seed, on the model."""
    inputs = TUNINGS.get(spec.method.name).inputs(spec.method)
    return Identity(spec.identity(), {"model": fingerprint(spec.model), **inputs})


def run(spec: TuneSpec, workspace: Workspace) -> JsonObject:
    """Tune and write the model; raises what `posttrain.tuning.run.tune` raises."""
    from posttrain.tuning.run import tune

    return tune(spec, workspace)


def plan(spec: TuneSpec) -> Plan:
    """Examples, tokens, steps and what they cost."""
    from posttrain.tuning.plan import plan

    scripts = batch_script(spec.launcher, spec.name, [Path("runs") / spec.name])
    return replace(plan(spec), scripts=scripts)


def show(artifact: Artifact) -> Page:
    """Facts, losses, and what the method keeps beside."""
    from posttrain.tuning.page import tuning_page

    return tuning_page(artifact)


def _to_hugging_face(artifact: Artifact, folder: Path) -> None:
    shutil.copytree(artifact.path / MODEL, folder, dirs_exist_ok=True)


TUNE: Stage[TuneSpec] = launched(
    Stage(
        kind="tune",
        version=1,
        spec=TuneSpec,
        identity=identity,
        run=run,
        plan=plan,
        show=show,
        exports={"hf": _to_hugging_face},
    )
)
