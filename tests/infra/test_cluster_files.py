"""What stands in the cluster files is what Ray, KubeRay and this command line understand."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((ROOT / "infra" / name).read_text()))


def pinned_ray() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["optional-dependencies"]["ray"][0].split("==")[1]


def test_ray_takes_the_cluster_file() -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", reason="Ray is not installed")
    (cluster,) = documents("ray-cluster.yaml")
    util.validate_config(util.prepare_config(cluster))


def test_the_ray_job_runs_the_shipped_curation_on_the_pinned_ray(tmp_path: Path) -> None:
    from hormesis import load

    settings, volume, job = documents("kuberay-rayjob.yaml")
    (tmp_path / "curation.yaml").write_text(settings["data"]["curation.yaml"])
    kind, _ = load(tmp_path / "curation.yaml", None)
    assert kind.kind == "curation"
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned_ray()
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (each["template"]["spec"] for each in pods):
        claims = [
            each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each
        ]
        assert claims == [volume["metadata"]["name"]]
        mounts = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
        assert all(any(word.startswith(mount) for mount in mounts) for word in paths(job["spec"]["entrypoint"]))


def paths(entrypoint: str) -> list[str]:
    """The paths of a `hormesis run` command line, which must be one that Typer takes."""
    import typer

    from hormesis import app

    words = shlex.split(entrypoint)
    assert words[0] == "hormesis"
    command = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    arguments = command.make_context("run", words[2:]).params
    assert arguments["ray"] == "auto"
    return [str(arguments["file"]), str(arguments["out"])]
