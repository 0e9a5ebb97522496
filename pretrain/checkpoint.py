"""Checkpoints: Megatron's distributed format, complete or not there, newest whole one wins.

A checkpoint is written under a temporary name, synced, listed with checksums in `complete.json`, then renamed. A kill
at any moment leaves the earlier checkpoints as they were.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies import filesystem_async
from megatron.core.dist_checkpointing.strategies.torch import TorchDistSaveShardedStrategy

from infra.atomic import sync_folder, write_json
from infra.errors import ArtifactError
from infra.fingerprint import digest_file

_COMPLETE = "complete.json"
_NEWEST = 2  # of these one is there to fall back to, should the other turn out damaged

StateOf = Callable[[bool], dict[str, Any]]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in `folder`, of which those of every `keep_every` steps stay for good.

    Saving and restoring are collective: all ranks call them.
    """

    folder: Path
    keep_every: int | None = None

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the sharded `state` after `step` steps, then drop what is neither kept nor one of the newest two."""
        temporary = self.folder / f"writing-{step:09d}"
        if dist.get_rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        dist.barrier()
        with _written_in_this_process():
            strategy = TorchDistSaveShardedStrategy("torch_dist", 1, thread_count=1)
            dist_checkpointing.save(state, str(temporary), sharded_strategy=strategy)
        dist.barrier()
        if dist.get_rank() == 0:
            self._complete(step, temporary)
        dist.barrier()

    def restore(self, state_of: StateOf, note: Callable[[str], None]) -> dict[str, Any] | None:
        """Load the newest whole checkpoint; None when there is none. `state_of(True)` gives the sharded state to fill.

        A damaged checkpoint is passed over and said to be so.
        """
        chosen = [self._newest_whole(note) if dist.get_rank() == 0 else None]
        dist.broadcast_object_list(chosen)
        if chosen[0] is None:
            return None
        return dist_checkpointing.load(state_of(True), chosen[0])

    def _complete(self, step: int, temporary: Path) -> None:
        files = {file.name: digest_file(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / _COMPLETE, {"step": step, "files": files})
        sync_folder(temporary)
        place = self.folder / f"step-{step:09d}"
        shutil.rmtree(place, ignore_errors=True)
        os.replace(temporary, place)
        sync_folder(self.folder)
        for old in self._places()[:-_NEWEST]:
            if not self._stays(old):
                shutil.rmtree(old)

    def drop_unkept(self, last: int) -> None:
        """Leave what stays in the artifact, the checkpoint of step `last` among it; not collective."""
        if self.keep_every is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        for place in self._places():
            if not (self._stays(place) or _step(place) == last):
                shutil.rmtree(place)

    def _places(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def _stays(self, place: Path) -> bool:
        return self.keep_every is not None and _step(place) % self.keep_every == 0

    def _newest_whole(self, note: Callable[[str], None]) -> str | None:
        for place in reversed(self._places()):
            if _is_whole(place):
                return str(place)
            note(f"checkpoint {place.name} is damaged and was passed over")
            shutil.rmtree(place)
        return None


def _step(place: Path) -> int:
    return int(place.name.removeprefix("step-"))


def check_whole(place: Path) -> None:
    """Raises ArtifactError when a checkpoint is damaged."""
    if not _is_whole(place):
        raise ArtifactError(f"{place}: the checkpoint is damaged; copy it again or start from another")


def _is_whole(place: Path) -> bool:
    """Whether every file is there with the checksum it was written with."""
    try:
        files = json.loads((place / _COMPLETE).read_text(encoding="utf-8"))["files"]
        return all(digest_file(place / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError):
        return False


@contextlib.contextmanager
def _written_in_this_process() -> Iterator[None]:
    """Let Megatron write without helper processes.

    For results of a synchronous save it spawns a multiprocessing Manager, which imports the program anew (3 s, and it
    needs a `__main__` guard), and forks a writer per file, which is unsafe beside gloo's threads. A plain queue does
    as well.
    """
    writer = filesystem_async.FileSystemWriterAsync
    with (
        mock.patch.object(filesystem_async, "_get_write_results_queue", queue.Queue),
        mock.patch.object(filesystem_async, "_process_memory", int),  # wants psutil, for a debug line
        mock.patch.object(writer, "write_preloaded_data_multiproc", staticmethod(_write_buckets)),
    ):
        yield


def _write_buckets(
    transforms: list[Any], _use_msc: bool, _rank: int, buckets: list[Any], results: queue.Queue[Any]
) -> None:
    written: dict[int, Any] = {}
    for number, bucket in enumerate(buckets):
        outcome: queue.Queue[Any] = queue.Queue()
        counter: queue.Queue[int] = queue.Queue()
        counter.put(number)
        write = filesystem_async.FileSystemWriterAsync.write_preloaded_data
        write(transforms, number, bucket, outcome, counter, use_fsync=True)
        _, result = outcome.get()
        if isinstance(result, Exception):
            results.put(result)
            return
        written[number] = result
    results.put(written)
