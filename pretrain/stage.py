"""The stage of this floor: `pretrain`. Light to import; PyTorch and Megatron are loaded when it runs."""

from __future__ import annotations

import warnings
from typing import Any

from infra.artifact import Artifact, fingerprint_of
from infra.errors import UnavailableError
from infra.stage import Identity, Page, Plan, Stage, Workspace
from pretrain.spec import PretrainSpec

# How a run is carried out, not what comes out of it: a killed run may be taken up with other values of these.
_HOW = {"name", "mixture", "loss", "micro_batch_size", "checkpoint_every", "log_every", "parallel"}


def _identity(spec: PretrainSpec) -> Identity:
    config = spec.model_dump(mode="json", exclude=_HOW)
    config["loss"] = {
        "bands": [band.model_dump(mode="json") for band in spec.loss.effective_bands],
        "components": None if spec.loss.components is None else sorted(spec.loss.components),
        "normalise_by": spec.loss.normalise_by,
    }
    return Identity(config, {"mixture": fingerprint_of(spec.mixture, "mixture")})


def _run(spec: PretrainSpec, workspace: Workspace) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Megatron warns at import that Apex and Transformer Engine are not there
        try:
            from pretrain.train import pretrain
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("megatron", "torch"):
                raise
            message = f"pretraining needs the package {error.name}; install it with `pip install 'hormesis[megatron]'`"
            raise UnavailableError(message) from None
        return pretrain(spec, workspace)


def _plan(spec: PretrainSpec) -> Plan:
    from pretrain.report import plan

    return plan(spec)


def _show(artifact: Artifact) -> Page:
    from pretrain.report import show

    return show(artifact)


PRETRAIN = Stage("pretrain", 1, PretrainSpec, _identity, _run, _plan, _show)
