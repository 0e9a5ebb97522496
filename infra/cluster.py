"""The connection to a Ray cluster, and what a user is told when there is none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.errors import UnavailableError

_PASSED = ("HORMESIS_", "HF_", "TRANSFORMERS_")
_OBJECT_STORE = 256 << 20  # bytes; only job descriptions go through it, documents never do


@dataclass(frozen=True)
class RayCluster:
    """Where Ray is: `auto` (the cluster this machine belongs to), `local` (started for this command alone),
    `ray://HOST:10001` or `HOST:6379`. `workers` is the most to use; None: as many as the cluster has room for.
    """

    address: str
    workers: int | None = None


@contextlib.contextmanager
def connected(cluster: RayCluster) -> Iterator[Any]:
    """The module `ray`, connected; a cluster that this process is connected to already is used as it is.

    Raises UnavailableError where there is no Ray, no cluster, or one of another version.
    """
    try:
        import ray
    except ImportError:
        raise UnavailableError("--ray needs Ray, here and on every node: pip install 'hormesis[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(**_arguments(cluster))
    except Exception as error:  # ConnectionError, RuntimeError, ValueError and a plain Exception, all of them Ray's
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"--ray {cluster.address}: no Ray cluster to be had: {reason}; start one with "
            "`ray start --head`, `ray up` or KubeRay (docs/cluster.md), or give --ray local for one on this machine"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def passed_on(*also: str) -> dict[str, str]:
    """Environment variables of this command that the workers get too: where caches are, whether a hub is reached, and
    those whose names begin with one of `also`.
    """
    return {name: value for name, value in os.environ.items() if name.startswith((*_PASSED, *also))}


def _arguments(cluster: RayCluster) -> dict[str, Any]:
    common = {"address": cluster.address, "log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address != "local":
        return common
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    size = {"num_cpus": cluster.workers} if cluster.workers else {}
    return {**common, **size, "object_store_memory": _OBJECT_STORE}
