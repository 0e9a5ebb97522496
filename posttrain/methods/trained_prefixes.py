"""The prefix that pretraining put before a document of a given score, read from the mixture of the model's artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from infra.artifacts.artifact import Artifact, is_artifact, read_artifact
from infra.artifacts.lineage import neighbours
from infra.errors import InputError
from mixtures.reading.manifest import MixtureManifest
from mixtures.spec.conditioning import ConditioningSpec

_REMEDY = "give the prefix as `good:` (and `bad:`)"


def trained_prefix(location: str, attribute: str, score: float, role: str) -> str:
    """The prefix of a document whose `attribute` is `score`; "" where such a document has none.

    `location` is the model's. Raises InputError where no mixture with prefixes lies beside it, or where its prefixes
    depend on more than the attribute; `role` is what messages call the prefix.
    """
    conditioning, columns = _conditioning(location), {attribute: np.array([score])}
    if unknown := sorted(conditioning.names() - {attribute}):
        raise InputError(
            f"{location}: the prefixes of its mixture depend on {', '.join(unknown)} too, so there is no one {role} "
            f"prefix; {_REMEDY}"
        )
    for prefix in conditioning.prefixes:
        if prefix.condition is None or prefix.condition.evaluate(columns, 1)[0]:
            return prefix.template.render(columns, 0)
    return ""


def _conditioning(location: str) -> ConditioningSpec:
    mixture = _mixture_of(location)
    section = MixtureManifest.of(mixture.path).conditioning
    if section is None:
        raise InputError(f"{location}: its mixture {mixture.path.name} writes no prefixes; {_REMEDY}")
    return ConditioningSpec.model_validate(section)


def _mixture_of(location: str) -> Artifact:
    """The mixture of the pretraining that a model's artifact, perhaps through others that tuned it, comes from."""
    path = Path(location)
    if not is_artifact(path):
        raise InputError(f"{location}: is no artifact, so nothing says which prefixes it was trained with; {_REMEDY}")
    artifact, known = read_artifact(path), neighbours(path)
    while artifact.kind != "mixture":
        made_of = artifact.inputs.get("mixture") if artifact.kind == "pretrain" else artifact.inputs.get("model")
        if made_of not in known:
            raise InputError(f"{location}: the mixture that it was pretrained on is not beside it; {_REMEDY}")
        artifact = known[made_of]
    return artifact
