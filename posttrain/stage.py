"""`kind: posttrain`: fit a steering method on a model and labelled text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from infra.artifacts.artifact import Artifact
from infra.artifacts.export import ExportWith
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace
from posttrain.methods import METHODS
from posttrain.methods.options import MethodArgs
from posttrain.shared import file_digest, labelled_with_activations, labels_fingerprint
from posttrain.spec import BakedOptions, PosttrainSpec
from pretrain.huggingface.location import fingerprint
from pretrain.launchers import launched
from pretrain.processes.sbatch import batch_script


def identity(spec: PosttrainSpec) -> Identity:
    """Method, labels and seed, on the model."""
    inputs = {"model": fingerprint(spec.model)}
    if spec.needs_labels:
        assert spec.labelled is not None
        inputs["labelled"] = labels_fingerprint(spec.labelled)
    return Identity(spec.identity(), inputs | _method_inputs(spec.method))


def _method_inputs(method: MethodArgs) -> dict[str, str]:
    """Fingerprints of the models and files that a method's arguments name."""
    models = {key: fingerprint(location) for key in method.models if (location := getattr(method, key))}
    files = {key: file_digest(path) for key in method.files if (path := getattr(method, key))}
    return {f"method.{key}": digest for key, digest in {**models, **files}.items()}


def run(spec: PosttrainSpec, workspace: Workspace) -> dict[str, str | int | float]:
    """Fit and write `steering.safetensors` and `steering.json`; raises what reading labels or the model raises."""
    from posttrain.fitted import save_fitted
    from posttrain.model import load_model

    method = METHODS.get(spec.method_name)
    args = method.completed(spec.method, spec.model)
    load = cache(lambda: load_model(spec.model, spec.device))
    labelled = None
    if spec.needs_labels and spec.labelled:
        labelled = labelled_with_activations(
            spec.labelled, spec.seed, args.label_attributes, spec.model, load, workspace
        )
    with workspace.progress(f"fitting {spec.method_name}", 1, "fits") as advance:
        fitted = method.fit(load(), labelled, args, spec.seed)
        advance(1)
    save_fitted(workspace.path, fitted)
    return {"method": spec.method_name, "texts": len(labelled.texts) if labelled else 0, **fitted.facts.figures}


def plan(spec: PosttrainSpec) -> Plan:
    """What will be fitted, on how many texts."""
    sets = max(1, len(spec.method.label_attributes))
    texts = 2 * spec.labelled.per_class * sets if spec.needs_labels and spec.labelled else 0
    arguments = ", ".join(f"{key}={value}" for key, value in spec.method.model_dump(exclude={"name"}).items())
    rows = (("method", spec.method_name), ("arguments", arguments), ("model", spec.model), ("labelled texts", texts))
    note = "one pass over the texts, shared by all that is fitted on them; one fit serves every strength"
    table = Table("Steering", ("what", "value"), rows)
    scripts = batch_script(spec.launcher, spec.name, [Path("runs") / spec.name])
    return Plan(f"posttrain {spec.name}", (table,), (note if texts else "nothing to fit",), scripts)


def show(artifact: Artifact) -> Page:
    """Facts of the fit; for methods that probe heads their accuracies, as a table and as a heat-map."""
    from posttrain.fitted import load_fitted
    from posttrain.page import steering_page

    return steering_page(Path(artifact.path).name, load_fitted(artifact.path))


def _to_hugging_face(artifact: Artifact, folder: Path, options: BakedOptions) -> None:
    from posttrain.export import write_baked

    write_baked(artifact, folder, options)


POSTTRAIN: Stage[PosttrainSpec] = launched(
    Stage(
        kind="posttrain",
        version=1,
        spec=PosttrainSpec,
        identity=identity,
        run=run,
        plan=plan,
        show=show,
        exports={"hf": ExportWith(BakedOptions, _to_hugging_face)},
    )
)
