"""Where the ranks of a curation job run: here, on a Ray cluster, or under Slurm."""

from curation.execution.base import Job, Shared, Workers, execute, opened

__all__ = ["Job", "Shared", "Workers", "execute", "opened"]
