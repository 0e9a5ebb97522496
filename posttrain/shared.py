"""Labelled texts with one pass of the model over them, shared by all that is fitted or measured on them.

The pass is an artifact in the store (in a study `steps/store`, alone `runs/store`), named by model, labelled texts and
their draw. It is made under a lease and appears whole, so of two steps that want it at once one waits. Light to import.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from infra.artifacts.artifact import fingerprint_of
from infra.artifacts.inputs import input_digest, location_digest
from infra.config.identity import NotIdentity
from infra.config.spec import Location, Spec
from infra.stages.stage import Identity, Workspace
from mixtures.store.inner import inner_stage, make
from posttrain.spec import AnyLabelled, LabelledSpec
from pretrain.huggingface.location import fingerprint

if TYPE_CHECKING:
    from posttrain.labelled import Labelled
    from posttrain.model import CausalModel


class ActivationsSpec(Spec):
    """A pass of a model over labelled texts; `labelled` has its seed."""

    model: Annotated[Location, NotIdentity]
    """Where the model is."""
    labelled: AnyLabelled
    """The texts."""
    max_tokens: int
    """Texts are cut after so many."""


def labels_fingerprint(labelled: AnyLabelled) -> str:
    """Of the mixture or the file that labelled texts come from."""
    if isinstance(labelled, LabelledSpec):
        return fingerprint_of(labelled.mixture, "mixture")
    return file_digest(labelled.path)


def file_digest(path: str) -> str:
    """Digest of a file or URL that is read as it is."""
    return location_digest(path) if "://" in path else input_digest(path)


def labelled_with_activations(
    labelled: AnyLabelled,
    seed: int,
    attributes: Sequence[str],
    location: str,
    load: Callable[[], CausalModel],
    workspace: Workspace,
) -> Labelled:
    """The labelled texts (by the section's attribute, and by each of `attributes`) with what the model at `location`
    computes on them, from the store or made now; `load` is called where it has to be made.

    Raises what `read_labelled` and `load` raise.
    """
    from posttrain.labelled import Labelled

    if not attributes:
        return _recorded(labelled, seed, location, load, workspace)
    by_attribute = {name: _recorded(labelled.by(name), seed, location, load, workspace) for name in attributes}
    first = next(iter(by_attribute.values()))
    return Labelled(first.texts, first.toxic, first.groups, first.activations, by_attribute)


def _recorded(
    labelled: AnyLabelled, seed: int, location: str, load: Callable[[], CausalModel], workspace: Workspace
) -> Labelled:
    """Texts of one attribute with their activations."""
    from posttrain.activations import MAX_TOKENS, load_activations
    from posttrain.labelled import read_labelled

    texts = read_labelled(labelled, seed)
    drawn = labelled if labelled.seed is not None else labelled.model_copy(update={"seed": seed})
    spec = ActivationsSpec(model=location, labelled=drawn, max_tokens=MAX_TOKENS)
    stage = inner_stage("activations", ActivationsSpec, _identity, partial(_run, labelled=texts, load=load))
    folder = workspace.store / f"activations-{stage.fingerprint(spec)[:12]}"
    return replace(texts, activations=load_activations(make(stage, spec, folder, workspace).path))


def _identity(spec: ActivationsSpec) -> Identity:
    return Identity(spec.identity(), {"model": fingerprint(spec.model), "labelled": labels_fingerprint(spec.labelled)})


def _run(
    spec: ActivationsSpec, workspace: Workspace, labelled: Labelled, load: Callable[[], CausalModel]
) -> dict[str, Any]:
    from posttrain.activations import last_token, save_activations

    model, texts = load(), labelled.texts
    with workspace.progress("reading labelled texts", len(texts), "texts") as advance:
        activations = last_token(model, texts, advance, spec.max_tokens, scratch=workspace.path)
    save_activations(workspace.path, activations)
    return {"texts": len(texts), "layers": model.layout.layers, "heads": model.layout.heads}
