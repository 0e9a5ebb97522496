"""The YAML section `execution:`: what a worker needs. It changes where and how fast, never a byte of the result."""

from __future__ import annotations

from pydantic import Field

from infra.config.spec import Spec


class RayWorkersSpec(Spec):
    """Workers on a Ray cluster (`hormesis run --ray ADDRESS`)."""

    cpus: float = Field(default=1, gt=0)
    """Cores that Ray sets aside for a worker; give as many as its scorers have `threads`."""
    gpus: float = Field(default=0, ge=0)
    """GPUs of a worker; 0.25 lets four workers share one."""
    memory_gb: float | None = Field(default=None, gt=0)
    """Memory that Ray sets aside for a worker; without it Ray counts cores alone."""
    deaths: int = Field(default=4, ge=0)
    """How often the worker of one rank may die (killed, out of memory, node lost) before the rank is given up."""


class SlurmArraySpec(Spec):
    """datatrove's Slurm executor: every job becomes one array. The work folder must be seen by all nodes."""

    partition: str
    time: str = "24:00:00"
    """Time limit of an array task."""
    workers: int = Field(default=-1, ge=-1)
    """Array tasks that run at the same time; -1: as many as Slurm lets."""
    cpus_per_task: int = Field(default=1, ge=1)
    mem_per_cpu_gb: int = Field(default=4, ge=1)
    gpus_per_task: int = Field(default=0, ge=0)
    tasks_per_job: int = Field(default=1, ge=1)
    """Ranks of one array task, one after the other; a model is loaded once for them."""
    max_array_size: int = Field(default=1001, ge=1)
    """The cluster's MaxArraySize."""
    qos: str = "normal"
    env_command: str | None = None
    """Command that makes the Python environment ready on a node; without it `venv_path`, or what sbatch inherits."""
    venv_path: str | None = None
    """`activate` script of a virtual environment."""
    sbatch_args: dict[str, str | int] = Field(default_factory=dict)
    """Further options of sbatch, for example {account: my-project}."""


class ExecutionSpec(Spec):
    """Where the ranks of a curation run. Without `slurm` and without `--ray`: in processes of this machine."""

    ray: RayWorkersSpec = RayWorkersSpec()
    slurm: SlurmArraySpec | None = None
    """Hand every job to Slurm as an array and wait for it."""

    @property
    def elsewhere(self) -> bool:
        """Whether what scores is surely not the command's machine, or not as it is: a node of Slurm, a worker with GPUs
        of its own.
        """
        return self.slurm is not None or self.ray.gpus > 0
