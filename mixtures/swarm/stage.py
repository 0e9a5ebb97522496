"""`kind: swarm` as the front door sees it. Light to import."""

from __future__ import annotations

from pathlib import Path

from infra.artifacts.artifact import Artifact
from infra.artifacts.inputs import input_digest
from infra.artifacts.records import JsonObject
from infra.errors import InputError
from infra.render.page import Page, Plan
from infra.stages.stage import Identity, Stage, Workspace
from mixtures.swarm.spec import ProxiesSpec, SwarmSpec


def _identity(spec: SwarmSpec) -> Identity:
    return Identity(spec.identity(), {**_files("proxies", spec.proxies), **_files("check", spec.check)})


def _files(key: str, proxies: ProxiesSpec | None) -> dict[str, str]:
    if proxies is None:
        return {}
    digests = {}
    for name, path in (("mixtures", proxies.mixtures), ("results", proxies.results)):
        if not Path(path).is_file():
            raise InputError(f"{key}.{name}: {path}: no such file")
        digests[f"{key}.{name}"] = input_digest(path)
    return digests


def _run(spec: SwarmSpec, workspace: Workspace) -> JsonObject:
    from mixtures.swarm.artifact_files import write_design, write_fit

    return write_design(spec, workspace) if spec.sample is not None else write_fit(spec, workspace)


def _plan(spec: SwarmSpec) -> Plan:
    from mixtures.swarm.plan import plan_swarm

    return plan_swarm(spec)


def _show(artifact: Artifact) -> Page:
    from mixtures.swarm.page import show_swarm

    return show_swarm(artifact)


SWARM = Stage(kind="swarm", version=1, spec=SwarmSpec, identity=_identity, run=_run, plan=_plan, show=_show)
