"""The launcher `ray`: one worker per GPU on a Ray cluster, placed all together or not at all."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.cluster import RayCluster, connected, passed_on
from infra.errors import JobError
from infra.render.progress import say
from pretrain.launchers.base_processes import ProcessLauncher
from pretrain.launchers.options import RaySpec
from pretrain.processes.environment import INHERITED, environment
from pretrain.processes.work import Work

PATIENCE = 60.0
"""Seconds without room for the workers after which the user is told what is missing; a cluster may scale meanwhile."""


class LaunchedWorker:
    """The actor of one rank."""

    def host(self) -> tuple[str, str, int]:
        """(node, address, a free port): who sits beside whom, and where the first rank can be met."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address(), probe.getsockname()[1]

    def work(self, folder: str, environment: dict[str, str]) -> int:
        """Work as the rank that the environment names; returns the exit code that a process would have."""
        from pretrain.processes.worker import work_in

        os.environ.update(environment)
        return work_in(Path(folder))


class Ray(ProcessLauncher):
    """Places the workers and waits for them; they end with this command."""

    options = RaySpec

    @property
    def tries(self) -> int:
        """One more than `restarts`."""
        return self.spec.restarts + 1

    @contextlib.contextmanager
    def started(self, work: Work, ranks: int) -> Iterator[None]:
        """Place one actor per rank and set them to work; the block's end removes them."""
        local = self.spec.cpus * ranks if self.spec.address == "local" else None
        with connected(RayCluster(self.spec.address, local)) as self._ray, self._room(ranks) as room:
            actors = self._actors(room, ranks)
            try:
                self._waiting = self._set_to_work(actors, work)
                yield
            finally:
                for actor in actors:
                    self._ray.kill(actor)

    def running(self) -> bool:
        """Whether all workers that have not ended yet are alive: one that dies or fails ends it for all."""
        ended, self._waiting = self._ray.wait(self._waiting, num_returns=len(self._waiting), timeout=0)
        try:
            codes = self._ray.get(ended)
        except self._ray.exceptions.RayTaskError as error:
            raise JobError(f"launcher: on a Ray worker: {error.cause}") from None
        except self._ray.exceptions.RayError:  # dead: the loop of tries sees that the work is not finished
            return False
        return bool(self._waiting) and not any(codes)

    @contextlib.contextmanager
    def _room(self, ranks: int) -> Iterator[Any]:
        """A placement group with a bundle per rank, on as few nodes as can be."""
        from ray.util import placement_group, remove_placement_group

        needs = {"CPU": self.spec.cpus, "GPU": self.spec.gpus}
        bundle = {name: need for name, need in needs.items() if need}
        group = placement_group([bundle] * ranks, strategy="PACK")
        try:
            while not group.wait(PATIENCE):
                cluster = {name: self._ray.cluster_resources().get(name, 0) for name in bundle}
                say(f"waiting for Ray: {ranks} workers need {_words(bundle)} each, all at once; the cluster has "
                    f"{_words(cluster)} in all")  # fmt: skip
            yield group
        finally:
            remove_placement_group(group)

    def _actors(self, room: Any, ranks: int) -> list[Any]:
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        variables = environment(self.spec.cpus, passed_on(*INHERITED), self.spec.env)
        worker = self._ray.remote(num_cpus=self.spec.cpus, num_gpus=self.spec.gpus)(LaunchedWorker)
        return [
            worker.options(
                runtime_env={"env_vars": variables},
                scheduling_strategy=PlacementGroupSchedulingStrategy(room, placement_group_bundle_index=index),
            ).remote()
            for index in range(ranks)
        ]

    def _set_to_work(self, actors: list[Any], work: Work) -> list[Any]:
        """Give neighbours neighbouring ranks, so that tensor-parallel ranks share a node, and say where all meet."""
        try:
            hosts = self._ray.get([actor.host.remote() for actor in actors])
        except self._ray.exceptions.RayError as error:
            raise JobError(f"launcher: a Ray worker died as it started: {error}") from None
        order = sorted(range(len(actors)), key=lambda index: (hosts[index][0], index))
        _, address, port = hosts[order[0]]
        common = {"WORLD_SIZE": str(len(actors)), "MASTER_ADDR": address, "MASTER_PORT": str(port)}
        # Ray shows every worker its own GPU only, so each of them is the first on its machine
        return [
            actors[index].work.remote(str(work.folder), {**common, "RANK": str(rank), "LOCAL_RANK": "0"})
            for rank, index in enumerate(order)
        ]


def _words(resources: dict[str, Any]) -> str:
    return " and ".join(f"{amount:g} {name}" for name, amount in resources.items())
