"""`kind: posttrain`: fit a steering method on a model and labelled text."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import Artifact, fingerprint_of
from infra.artifacts.inputs import input_digest, location_digest
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from posttrain.methods import METHODS
from posttrain.spec import AnyLabelled, LabelledSpec, PosttrainSpec
from pretrain.huggingface.location import fingerprint


def identity(spec: PosttrainSpec) -> Identity:
    """Method, labels and seed, on the model."""
    inputs = {"model": fingerprint(spec.model)}
    if spec.needs_labels:
        assert spec.labelled is not None
        inputs["labelled"] = _labels_fingerprint(spec.labelled)
    return Identity(spec.identity(), inputs)


def _labels_fingerprint(labelled: AnyLabelled) -> str:
    if isinstance(labelled, LabelledSpec):
        return fingerprint_of(labelled.mixture, "mixture")
    return location_digest(labelled.path) if "://" in labelled.path else input_digest(labelled.path)


def run(spec: PosttrainSpec, workspace: Workspace) -> dict[str, str | int | float]:
    """Fit and write `steering.safetensors` and `steering.json`; raises what reading labels or the model raises."""
    from posttrain.fitted import save_fitted
    from posttrain.labelled import read_labelled
    from posttrain.model import load_model

    labelled = read_labelled(spec.labelled, spec.seed) if spec.needs_labels and spec.labelled else None
    model = load_model(spec.model, spec.device)
    texts = len(labelled.texts) if labelled else 0
    with workspace.progress(f"fitting {spec.method_name}", texts, "texts") as advance:
        fitted = METHODS.get(spec.method_name).fit(model, labelled, spec.method, spec.seed)
        advance(texts)
    save_fitted(workspace.path, fitted)
    return {"method": spec.method_name, "texts": texts, **fitted.facts.figures}


def plan(spec: PosttrainSpec) -> Plan:
    """What will be fitted, on how many texts."""
    texts = 2 * spec.labelled.per_class if spec.needs_labels and spec.labelled else 0
    arguments = ", ".join(f"{key}={value}" for key, value in spec.method.model_dump(exclude={"name"}).items())
    rows = (("method", spec.method_name), ("arguments", arguments), ("model", spec.model), ("labelled texts", texts))
    note = "one forward pass over the labelled texts; one fit serves every strength" if texts else "nothing to fit"
    return Plan(f"posttrain {spec.name}", (Table("Steering", ("what", "value"), rows),), (note,))


def show(artifact: Artifact) -> Page:
    """Facts of the fit; for methods that probe heads their accuracies, as a table and as a heat-map."""
    from posttrain.fitted import load_fitted
    from posttrain.page import steering_page

    return steering_page(Path(artifact.path).name, load_fitted(artifact.path))


POSTTRAIN: Stage[PosttrainSpec] = Stage(
    kind="posttrain", version=1, spec=PosttrainSpec, identity=identity, run=run, plan=plan, show=show
)
