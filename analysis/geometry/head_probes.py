"""Probes of all heads as an artifact in the store: coefficients are kept, and what needs them fits nothing anew."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from infra.config.identity import NotIdentity
from infra.config.spec import Location, Seed, Spec
from infra.stages.stage import Identity, Workspace
from mixtures.store.inner import inner_stage, make
from posttrain.shared import labels_fingerprint
from posttrain.spec import AnyLabelled
from pretrain.huggingface.location import fingerprint

if TYPE_CHECKING:
    from posttrain.labelled import Labelled
    from posttrain.probes import Array, HeadProbes


class HeadProbesSpec(Spec):
    """Probes of a model on labelled texts; `labelled` has its seed."""

    model: Annotated[Location, NotIdentity]
    """Where the model is."""
    labelled: AnyLabelled
    """The texts."""
    folds: int
    """Of the cross-validation."""
    seed: Seed
    """Draws the folds."""


def stored_probes(spec: HeadProbesSpec, labelled: Labelled, heads: Array, workspace: Workspace) -> HeadProbes:
    """Probes for `labelled.toxic` on `heads` [layers, n, heads, head_dim], from the store or fitted now.

    Raises what `probe_heads` raises.
    """
    from posttrain.probes import load_probes

    stage = inner_stage("probes", HeadProbesSpec, _identity, partial(_run, labelled=labelled, heads=heads))
    folder = workspace.store / f"probes-{stage.fingerprint(spec)[:12]}"
    return load_probes(make(stage, spec, folder, workspace).path)


def _identity(spec: HeadProbesSpec) -> Identity:
    return Identity(spec.identity(), {"model": fingerprint(spec.model), "labelled": labels_fingerprint(spec.labelled)})


def _run(spec: HeadProbesSpec, workspace: Workspace, labelled: Labelled, heads: Array) -> dict[str, Any]:
    from posttrain.probes import probe_heads, save_probes

    probes = probe_heads(heads, labelled.toxic, labelled.groups, spec.folds, spec.seed)
    save_probes(workspace.path, probes)
    return {"texts": len(labelled.texts), "layers": probes.accuracy.shape[0], "heads": probes.accuracy.shape[1]}
