"""What belongs to a fingerprint is what the keys say of themselves."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

import hormesis
from infra.config.identity import InOrder, NotIdentity, OnlyIfSet
from infra.config.spec import Location, Spec
from infra.stages.stage import Stage


class Inner(Spec):
    path: Location
    threads: Annotated[int, NotIdentity] = 1


class Twofold(Spec):
    share: float | None = None
    percent: float | None = None

    def identity(self) -> dict[str, Any]:
        return {"share": self.share if self.percent is None else self.percent / 100}


class Outer(Spec):
    name: Annotated[str, NotIdentity] = "x"
    seed: int = 0
    younger: Annotated[Inner | None, OnlyIfSet] = None
    listed: Annotated[dict[str, Inner], InOrder] = Field(default_factory=dict)
    named: dict[str, Inner] = Field(default_factory=dict)
    files: tuple[Location, ...] = ()
    twofold: Twofold = Twofold(share=0.5)


PLAIN = {"seed": 0, "listed": [], "named": {}, "files": (), "twofold": {"share": 0.5}}


def identity(**keys: Any) -> dict[str, Any]:
    identity = Outer(**keys).identity()
    return identity | {"files": tuple(identity["files"])}


def test_keys_count_as_they_stand_but_for_those_that_say_otherwise():
    assert identity(name="y") == PLAIN
    assert identity(seed=3) == PLAIN | {"seed": 3}


def test_a_younger_key_counts_where_it_is_set():
    assert identity(younger=None) == PLAIN
    assert identity(younger=Inner(path="/data/a.jsonl", threads=4)) == PLAIN | {"younger": {"path": "a.jsonl"}}


def test_of_a_path_the_last_part_counts_and_a_name_counts_whole():
    files = ("/home/me/a.jsonl", "s3://bucket/deep/b.jsonl", "hf:org/set", "wheel:x==1/inside/c.jsonl")
    assert identity(files=files)["files"] == ("a.jsonl", "b.jsonl", "hf:org/set", "wheel:x==1/inside/c.jsonl")


def test_the_order_of_names_counts_where_it_is_said_to():
    two = {"b": Inner(path="1"), "a": Inner(path="2")}
    assert identity(listed=two)["listed"] == [{"name": "b", "path": "1"}, {"name": "a", "path": "2"}]
    assert identity(named=two)["named"] == identity(named=dict(reversed(two.items())))["named"]


def test_a_section_that_can_be_written_in_two_ways_says_what_it_means():
    assert identity(twofold=Twofold(percent=50)) == identity(twofold=Twofold(share=0.5))


@pytest.mark.parametrize("kind", hormesis.KINDS.names())
def test_what_is_told_of_machines_and_names_of_runs_is_no_identity(kind):
    """A run that is carried out otherwise finds its artifact; the names of runs were part of the first fingerprints of
    curations and of what is trained in that floor, and stay so.
    """
    marked = {name for name, info in hormesis.KINDS.get(kind).spec.model_fields.items() if NotIdentity in info.metadata}
    machines = {"execution", "device", "launcher", "max_bad_share", "damaged_files", "logs", "log_every", "profile"}
    assert machines & hormesis.KINDS.get(kind).spec.model_fields.keys() <= marked


def test_a_stage_hashes_what_its_specification_says_of_itself(tmp_path):
    stage = hormesis.KINDS.get("swarm")
    assert isinstance(stage, Stage)
    components = {"a": {"natural": 0.4}, "b": {"natural": 0.6}}
    spec = stage.spec.model_validate({"name": "one", "components": components, "sample": {"runs": 3}})
    assert stage.identity(spec).config == spec.identity()
    assert stage.fingerprint(spec) == stage.fingerprint(spec.model_copy(update={"name": "two"}))
    turned = spec.model_copy(update={"components": dict(reversed(spec.components.items()))})
    assert stage.fingerprint(spec) != stage.fingerprint(turned)
