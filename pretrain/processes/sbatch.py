"""The batch script of a training or another step, or of an array of them; `infra/templates/launched.sbatch.j2`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from infra.artifacts.artifact import version_of
from infra.artifacts.inputs import trust_passed_on
from pretrain.launchers.options import LauncherSpec, SlurmSpec
from pretrain.processes.environment import environment
from pretrain.processes.work import UNFINISHED


def script_for(spec: SlurmSpec, name: str, folders: Sequence[Path], logs: Path) -> str:
    """The script that does the work of `folders`, one task of an array for each where there are several.

    Whatever comes from the user stands in quotes. Logs are `logs`/JOB.log, or JOB_TASK.log.
    """

    options = {**_options(spec, name, len(folders), logs), **spec.sbatch}
    loader = PackageLoader("infra")
    templates = Environment(loader=loader, undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 (no HTML)
    templates.filters["quote"] = lambda value: shlex.quote(str(value))
    return templates.get_template("launched.sbatch.j2").render(
        version=version_of("hormesis"),
        options=list(_flags(options, quote=True)),
        folders=folders,
        activate=spec.activate,
        environment=environment(spec.cpus_per_gpu, trust_passed_on(), spec.env),
        cpus=spec.cpus_per_gpu,
        srun=list(_flags(spec.srun, quote=False)),
        python=spec.python or ("python" if spec.activate else sys.executable),
        unfinished=UNFINISHED,
        requeues=spec.requeues,
    )


def batch_script(launcher: LauncherSpec, name: str, folders: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """The script that the launcher `slurm` would submit, under a title; the folders stand for those of the run."""
    if not isinstance(launcher, SlurmSpec):
        return ()
    return (("The batch script (`run` puts its work folders in)", script_for(launcher, name, folders, Path("logs"))),)


def _options(spec: SlurmSpec, name: str, tasks: int, logs: Path) -> dict[str, str | int | bool]:
    several = tasks > 1
    options: dict[str, str | int | bool] = {
        "job-name": "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name),
        "nodes": spec.nodes,
        "ntasks-per-node": spec.gpus_per_node,
        "gpus-per-node": spec.gpus_per_node,
        "cpus-per-task": spec.cpus_per_gpu,
        "time": spec.time,
        "signal": f"TERM@{spec.stop_before}",
        "requeue": True,
        "open-mode": "append",
        "output": str(logs).replace("%", "%%") + ("/%A_%a.log" if several else "/%j.log"),
    }
    if spec.partition:
        options["partition"] = spec.partition
    if several:
        limit = f"%{spec.at_once}" if spec.at_once else ""
        options["array"] = f"0-{tasks - 1}{limit}"
    return options


def _flags(options: Mapping[str, str | int | bool], quote: bool) -> Iterator[str]:
    """Long options; one that is false is left out."""
    for name, value in options.items():
        if value is True:
            yield f"--{name}"
        elif value is not False:
            yield f"--{name}={shlex.quote(str(value)) if quote else value}"
