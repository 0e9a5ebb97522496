"""The stage `toy`: many tiny transformers on Markov chains; `results.parquet` and `summary.parquet` out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.toy.chains import shared_edges
from analysis.toy.spec import ToySpec
from infra.artifacts.artifact import Artifact
from infra.atomic import atomic_path
from infra.render.html import duration
from infra.render.page import Page, Plan, Table
from infra.stages.stage import Identity, Stage, Workspace

_STEP, _MODEL = 0.01, 1.2e-3  # seconds of a step on one core, and of each model (4 layers, 12 sequences of 16) in it


def identity(spec: ToySpec) -> Identity:
    """All options; nothing is read."""
    return Identity(spec.identity(), {})


def run(spec: ToySpec, workspace: Workspace) -> dict[str, Any]:
    """Train all models at once, read their features' directions, write both tables. Returns counts."""
    from analysis.toy.measure import measure
    from analysis.toy.page import RESULTS, SUMMARY
    from analysis.toy.summary import claims, summary, verdict
    from analysis.toy.train import CHECKPOINT, train

    models = len(spec.shares) * spec.seeds
    with workspace.progress(f"training {models} models", spec.steps, "steps") as advance:
        ensemble = train(spec, workspace.path, advance)
    results = measure(spec, ensemble)
    for name, table in ((RESULTS, results), (SUMMARY, summary(results, spec.seed))):
        with atomic_path(Path(workspace.path, name)) as path:
            table.write_parquet(path, compression="zstd", compression_level=3)
    Path(workspace.path, CHECKPOINT).unlink(missing_ok=True)
    answers = claims(results, len(spec.chains), spec.seed)
    workspace.note(verdict(answers))
    return {"models": models, "features": spec.features, "outcomes": {a.claim: a.outcome for a in answers[:2]}}


def plan(spec: ToySpec) -> Plan:
    """The chains, the models, and how long they take."""
    models = len(spec.shares) * spec.seeds
    chains = tuple((number, " → ".join(map(str, (*chain, chain[0]))), "rare" if number == spec.rare else "")
                   for number, chain in enumerate(spec.chains))  # fmt: skip
    rows = (
        ("features", spec.features),
        ("transitions that two chains share", shared_edges(spec.chains)),
        ("shares of the rare chain", ", ".join(f"{share:.3g}" for share in spec.shares)),
        ("models", models),
        ("steps of each", spec.steps),
        ("estimators", ", ".join(estimator.words for estimator in spec.estimators)),
        ("time, one core", f"about {duration(_seconds(spec))}"),
    )
    tables = (Table("Chains", ("chain", "states", ""), chains), Table("Models", ("what", "value"), rows))
    return Plan(f"toy {spec.name}", tables, ("all models train at once; a killed run goes on where it was",))


def _seconds(spec: ToySpec) -> float:
    """A fixed cost a step, and one in proportion to models, layers and tokens."""
    size = spec.model.layers * spec.features * spec.length / (4 * 12 * 16)
    return spec.steps * (_STEP * spec.model.layers / 4 + _MODEL * size * len(spec.shares) * spec.seeds)


def show(artifact: Artifact) -> Page:
    """The verdict, the figure and the tables."""
    from analysis.toy.page import toy_page

    return toy_page(artifact)


TOY: Stage[ToySpec] = Stage("toy", 1, ToySpec, identity, run, plan, show)
