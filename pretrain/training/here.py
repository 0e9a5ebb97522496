"""A training in this process. Light to import; PyTorch and Megatron are loaded when it runs."""

from __future__ import annotations

import warnings

from infra.artifacts.records import JsonObject
from infra.errors import Preempted, UnavailableError
from infra.stages.stage import Workspace
from pretrain.files import SUMMARY
from pretrain.spec import PretrainSpec


def train_here(spec: PretrainSpec, workspace: Workspace, *, verified: bool = False) -> JsonObject:
    """Train in this process, as one rank of as many as the environment says; returns the counts of the artifact.

    `verified`: the mixture's checksums have been compared already.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Megatron warns at import that Apex and Transformer Engine are not there
        try:
            from pretrain.training.run import pretrain
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in ("megatron", "torch"):
                raise
            message = f"pretraining needs the package {error.name}; install it with `pip install 'hormesis[megatron]'`"
            raise UnavailableError(message) from None
        return pretrain(spec, workspace, verified=verified)


def train_as_rank(spec: PretrainSpec, workspace: Workspace) -> JsonObject:
    """The same in a process that a launcher has started; its command has compared the checksums.

    Raises Preempted where the training was told to stop before its end.
    """
    counts = train_here(spec, workspace, verified=True)
    if not (workspace.path / SUMMARY).exists():
        raise Preempted("told to stop before the end")
    return counts
