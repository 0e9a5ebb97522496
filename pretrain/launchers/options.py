"""The `launcher:` section of a YAML: the options of every launcher, told apart by `name`, or a name alone. Light to
import.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from infra.config.spec import Location, Spec
from pretrain.gpus import GpuName


def _one_line(value: str | int | bool) -> str | int | bool:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError("must be printable text on one line")
    return value


Line = Annotated[str, AfterValidator(_one_line)]

Setting = Annotated[bool | int | str, AfterValidator(_one_line)]

Variables = dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], Line]
"""Environment of processes, for example {NCCL_SOCKET_IFNAME: ib0}."""


class LauncherSpec(Spec):
    """A launcher and its options; every launcher's file declares its own. None of them changes what is made."""

    name: str
    gpu: GpuName = "H100"
    """GPU that `hormesis plan` reckons with."""
    mfu: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of that GPU's bf16 peak that `hormesis plan` expects of the training (model FLOPs utilisation)."""

    @property
    def ranks(self) -> int | None:
        """Processes of a training; None where only the machine can tell."""
        return None

    @property
    def ranks_per_node(self) -> int | None:
        """Processes that share a machine and its fast links; None where only the machine can tell."""
        return self.ranks

    @property
    def elsewhere(self) -> bool:
        """Whether other machines do the work, so that this one only waits."""
        return False

    def for_one_process(self) -> Self:
        """The same for work of one process, with a GPU if a process has one."""
        return self


class LocalSpec(LauncherSpec):
    """No process but this one. Under `torchrun … hormesis run FILE` every launcher is taken for this one."""

    name: Literal["local"] = "local"


class RaySpec(LauncherSpec):
    """Workers on a Ray cluster. The inputs and --out must lie in folders that all nodes share."""

    name: Literal["ray"] = "ray"
    address: str = "auto"
    """The cluster: auto (the one this machine belongs to), local (one for this command alone), ray://HOST:10001."""
    workers: Annotated[int, Field(ge=1)]
    """Processes."""
    gpus: Annotated[int, Field(ge=0, le=1)] = 1
    """GPUs of a worker; 0 works on the CPU."""
    cpus: Annotated[int, Field(ge=1)] = 8
    """Cores of a worker."""
    restarts: Annotated[int, Field(ge=0)] = 3
    """How often the workers start again, where they were last saved, after one has died (killed, a node lost)."""

    env: Variables = Field(default_factory=dict)
    """Environment of the workers, for example {NCCL_SOCKET_IFNAME: eth0}."""

    @property
    def ranks(self) -> int | None:
        """`workers`."""
        return self.workers

    @property
    def ranks_per_node(self) -> int | None:
        """Only the cluster knows."""
        return None

    @property
    def elsewhere(self) -> bool:
        """Unless the cluster is one of this command's own."""
        return self.address != "local"

    def for_one_process(self) -> Self:
        """One worker."""
        return self.model_copy(update={"workers": 1})


Positive = Annotated[int, Field(ge=1)]

OptionName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]

Options = dict[OptionName, Setting]
"""Long options without their dashes: {account: my-project, exclusive: true}."""


class SlurmSpec(LauncherSpec):
    """A Slurm job. The inputs, --out and the environment must lie in folders that all nodes share."""

    name: Literal["slurm"] = "slurm"
    nodes: Positive = 1
    """Machines."""
    gpus_per_node: Positive = 8
    """GPUs of a machine, each with a process."""
    cpus_per_gpu: Positive = 8
    """Cores of a process."""
    partition: Line | None = None
    """Partition; without it the cluster's default."""
    time: Annotated[str, StringConstraints(pattern=r"^(\d+-)?\d+(:\d+){0,2}$")] = "24:00:00"
    """Time limit of a job. Work that is longer is saved, goes back into the queue and goes on."""
    stop_before: Positive = 300
    """Seconds before the time limit at which the work is told to stop; a training saves first."""
    requeues: Annotated[int, Field(ge=0)] = 100
    """How often a job that was told to stop may go back into the queue."""
    at_once: Positive | None = None
    """Tasks of a study's array that run at the same time; without it as many as Slurm lets."""
    activate: Location | None = None
    """Shell script that every node sources first: modules, virtual environment."""
    python: Line | None = None
    """Python of the nodes; without it the `python` of `activate`, else the one that this command runs in."""
    env: Variables = Field(default_factory=dict)
    """Environment of the processes, for example {NCCL_SOCKET_IFNAME: ib0}."""
    sbatch: Options = Field(default_factory=dict)
    """Further options of sbatch; they win over hormesis' own."""
    srun: Options = Field(default_factory=dict)
    """Further options of srun, for example {container-image: ...}."""

    @property
    def ranks(self) -> int | None:
        """A process per GPU."""
        return self.nodes * self.gpus_per_node

    @property
    def ranks_per_node(self) -> int | None:
        """A process per GPU."""
        return self.gpus_per_node

    @property
    def elsewhere(self) -> bool:
        """Always."""
        return True

    def for_one_process(self) -> Self:
        """One GPU of one machine."""
        return self.model_copy(update={"nodes": 1, "gpus_per_node": 1})


class TorchrunSpec(LauncherSpec):
    """Several processes of this machine."""

    name: Literal["torchrun"] = "torchrun"
    processes: Annotated[int, Field(ge=1)] | None = None
    """Processes; without it one per GPU, or one where there is none."""
    restarts: Annotated[int, Field(ge=0)] = 0
    """How often processes that died (killed, a GPU lost) start again, from the newest checkpoint."""

    @property
    def ranks(self) -> int | None:
        """`processes`."""
        return self.processes


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


_Section: TypeAlias = Annotated[LocalSpec | RaySpec | SlurmSpec | TorchrunSpec, Field(discriminator="name")]
AnyLauncher: TypeAlias = Annotated[_Section, BeforeValidator(_by_name, json_schema_input_type=str | _Section)]

_ONE_PROCESS = {"ray": {"workers": 1}, "slurm": {"gpus_per_node": 1}}


def _one_process_unless_given(value: Any) -> Any:
    section = _by_name(value)
    return {**_ONE_PROCESS.get(str(section.get("name")), {}), **section} if isinstance(section, dict) else section


def _refuse_several(launcher: LauncherSpec) -> LauncherSpec:
    if launcher.ranks not in (None, 1):
        raise ValueError(f"asks for {launcher.ranks} processes, and one does this work: leave out nodes, gpus_per_node "
                         "and workers")  # fmt: skip
    return launcher


_OfOneProcess: TypeAlias = Annotated[LocalSpec | RaySpec | SlurmSpec, Field(discriminator="name")]
StepLauncher: TypeAlias = Annotated[
    _OfOneProcess,
    BeforeValidator(_one_process_unless_given, json_schema_input_type=str | _OfOneProcess),
    AfterValidator(_refuse_several),
]
"""The launcher of work that one process does."""
