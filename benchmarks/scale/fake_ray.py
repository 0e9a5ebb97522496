"""A Ray cluster played in one process: nodes of eight GPUs, placement groups, actors, and a node that is lost.

It gives what the launcher asks of Ray and no more, and refuses what Ray would refuse: a bundle that no node has room
for, two actors in one bundle, a group that is not removed. Nodes join while a group waits, as with an autoscaler.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray.exceptions

GPUS = 8
CPUS = 64


@dataclass
class Group:
    """A placement group: `nodes` of its bundles once it is placed."""

    cluster: Cluster
    bundles: Sequence[dict[str, float]]
    nodes: list[int] = field(default_factory=list)
    taken: set[int] = field(default_factory=set)

    def wait(self, _seconds: float) -> bool:
        """Whether all bundles are placed, on as few nodes as can be; where they are not, nodes join."""
        per_node = GPUS // int(self.bundles[0]["GPU"])
        if -(-len(self.bundles) // per_node) > self.cluster.size:
            self.cluster.size *= 8
            return False
        self.nodes = [index // per_node for index in range(len(self.bundles))]
        return True


@dataclass
class Answer:
    """What a call will give: a value, or nothing because the actor works on or its node is lost."""

    node: int
    value: Any


class Call:
    """A method of an actor, to be called with `.remote`."""

    def __init__(self, actor: Actor, name: str) -> None:
        self.actor, self.name = actor, name

    def remote(self, *arguments: Any) -> Answer:
        """Answer as the worker would."""
        return getattr(self.actor, f"answer_{self.name}")(*arguments)


class Actor:
    """A training worker in a bundle, which trains by saying that it has."""

    def __init__(self, cluster: Cluster, node: int) -> None:
        self.cluster, self.node = cluster, node
        self.host, self.work = Call(self, "host"), Call(self, "work")

    def answer_host(self) -> Answer:
        """Node, address and port."""
        return Answer(self.node, (f"node-{self.node:05d}", f"10.0.{self.node // 256}.{self.node % 256}", 29500))

    def answer_work(self, folder: str, environment: dict[str, str]) -> Answer:
        """The exit code; nothing, for ever, where a node is lost, as ranks wait for each other."""
        self.cluster.ranks[-1].append((int(environment["RANK"]), self.node))
        if self.cluster.lost is None and environment["RANK"] == "0":
            (Path(folder) / "pretrain.json").touch()
            (Path(folder) / "launch" / "counts.json").write_text(json.dumps({"steps": 1}))
        return Answer(self.node, 0 if self.cluster.lost is None else None)


class Cluster:
    """Stands for the module `ray`. `lost` is a node that is gone once the first training has begun."""

    exceptions = ray.exceptions

    def __init__(self, lost: int | None) -> None:
        self.size, self.lost = 1, lost
        self.groups: list[Group] = []
        self.actors: set[Actor] = set()
        self.ranks: list[list[tuple[int, int]]] = []
        """(rank, node) of every worker that was set to work, by try."""

    def placement_group(self, bundles: Sequence[dict[str, float]], strategy: str) -> Group:
        """Ask for bundles."""
        assert strategy == "PACK" and not self.groups
        self.groups.append(Group(self, bundles))
        self.ranks.append([])
        return self.groups[-1]

    def remove_placement_group(self, group: Group) -> None:
        """Give the bundles back; workers may not outlive their group, and a lost node is replaced."""
        assert not self.actors
        self.groups.remove(group)
        self.lost = None

    def cluster_resources(self) -> dict[str, float]:
        """Everything there is."""
        return {"CPU": self.size * CPUS, "GPU": self.size * GPUS}

    def remote(self, **_needs: float) -> Any:
        """Make a class's instances actors."""
        return lambda _class: self

    def options(self, *, scheduling_strategy: Any, **_options: Any) -> Any:
        """Where the next actor goes."""
        group, bundle = scheduling_strategy.placement_group, scheduling_strategy.placement_group_bundle_index
        assert bundle not in group.taken
        group.taken.add(bundle)
        return _Starter(self, group.nodes[bundle])

    def get(self, answers: Sequence[Answer]) -> list[Any]:
        """Values; raises ActorDiedError where one will never come."""
        if any(answer.value is None for answer in answers):
            raise self.exceptions.ActorDiedError
        return [answer.value for answer in answers]

    def wait(self, answers: Sequence[Answer], num_returns: int, timeout: float) -> tuple[list[Answer], list[Answer]]:
        """Answers that are there, or never come as their node is lost; and the others."""
        assert num_returns == len(answers) and timeout == 0
        groups: dict[bool, list[Answer]] = {True: [], False: []}
        for answer in answers:
            groups[answer.value is not None or answer.node == self.lost].append(answer)
        return groups[True], groups[False]

    def kill(self, actor: Actor) -> None:
        """End an actor."""
        self.actors.remove(actor)

    def neighbours_are_together(self) -> bool:
        """Whether in every try all ranks were there once, and those of a node are consecutive."""
        for ranks in self.ranks:
            nodes = [node for _, node in sorted(ranks)]
            if sorted(rank for rank, _ in ranks) != list(range(len(ranks))):
                return False
            if len(list(itertools.groupby(nodes))) != len(set(nodes)):
                return False
        return True


class _Starter:
    """A class with options, to be started with `.remote`."""

    def __init__(self, cluster: Cluster, node: int) -> None:
        self.cluster, self.node = cluster, node

    def remote(self) -> Actor:
        """Start the actor."""
        actor = Actor(self.cluster, self.node)
        self.cluster.actors.add(actor)
        return actor
