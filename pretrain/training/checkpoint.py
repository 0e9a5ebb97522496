"""Checkpoints: Megatron's distributed format, written beside the training, complete or not there.

A checkpoint is copied to the CPU, written by a thread of each rank under a temporary name, synced, listed with
checksums in `complete.json`, then renamed. A kill at any moment leaves the earlier checkpoints as they were; the newest
whole one wins.
"""

from __future__ import annotations

import collections
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from megatron.core import dist_checkpointing
from megatron.core.dist_checkpointing.strategies.torch import TorchDistSaveShardedStrategy

from infra.artifacts.fingerprint import digest_file
from infra.atomic import sync_folder, write_json
from infra.errors import ArtifactError, ConfigError, Problem
from pretrain.files import checkpoint_folder_name, checkpoint_step, checkpoints_in
from pretrain.runtime.distributed import any_rank
from pretrain.runtime.megatron_patches import checkpoint_written_in_this_process

_COMPLETE = "complete.json"
_WRITING = "writing-"  # and the step: the name of a checkpoint that is not finished
_DIVIDED = "param_state_sharding_type"  # Megatron's distributed optimizer stores this key, and no other does
_NEWEST = 2  # of these one is there to fall back to, should the other turn out damaged

ShardedState: TypeAlias = dict[str, Any]
"""What Megatron's distributed checkpoints take and give back: names, and under them more of it, numbers, or tensors
that say which stretch of the whole this rank holds.
"""

StateOf: TypeAlias = Callable[[bool], ShardedState]


class Checkpoints:
    """The checkpoints of one run in `folder`, of which those of every `keep_every` steps stay for good.

    Saving, finishing and restoring are collective: all ranks call them.
    """

    def __init__(self, folder: Path, keep_every: int | None = None) -> None:
        self.folder = folder
        self.keep_every = keep_every
        self._pending: _Pending | None = None

    @property
    def pending(self) -> bool:
        """Whether a checkpoint is begun and not finished; the same on every rank."""
        return self._pending is not None

    @property
    def writing(self) -> bool:
        """Whether this rank is still at it."""
        return self._pending is not None and self._pending.thread.is_alive()

    def save(self, step: int, state: ShardedState) -> None:
        """Begin to write the sharded `state` after `step` steps, which may change as soon as this returns."""
        self.finish()
        temporary = self.folder / f"{_WRITING}{step:09d}"
        if dist.get_rank() == 0:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        dist.barrier()
        with checkpoint_written_in_this_process():
            strategy = TorchDistSaveShardedStrategy("torch_dist", 1, thread_count=1)
            request = dist_checkpointing.save(state, str(temporary), sharded_strategy=strategy, async_sharded_save=True)
        self._pending = _Pending(step, temporary, request)

    def finish(self) -> None:
        """Wait for the checkpoint that is being written, if there is one; then drop what is neither kept nor one of
        the newest two.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        digests = pending.finish()
        if dist.get_rank() == 0:
            self._complete(pending.step, pending.folder, digests)
        dist.barrier()

    def close(self) -> None:
        """Let this rank's thread end, and an unfinished checkpoint be; not collective."""
        if self._pending is not None:
            self._pending.thread.join()

    def restore(self, state_of: StateOf, note: Callable[[str], None]) -> ShardedState | None:
        """Load the newest whole checkpoint; None when there is none. `state_of(True)` gives the sharded state to fill.

        A damaged checkpoint is passed over and said to be so.
        """
        checkpoint = self._newest_whole(note)
        return None if checkpoint is None else load_state(state_of(True), str(checkpoint))

    def drop_unkept(self, last: int) -> None:
        """Leave what stays in the artifact, the checkpoint of step `last` among it; not collective."""
        if self.keep_every is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        for checkpoint in checkpoints_in(self.folder):
            if not (self._stays(checkpoint) or checkpoint_step(checkpoint) == last):
                shutil.rmtree(checkpoint)

    def _complete(self, step: int, temporary: Path, digests: dict[str, str]) -> None:
        files = {file.name: digests.get(file.name) or digest_file(file) for file in sorted(temporary.iterdir())}
        # The order matters: checksums of files that are on the disk, then the list of them, then the name by which a
        # restart knows the checkpoint, and only when that name is on the disk too are older checkpoints removed.
        write_json(temporary / _COMPLETE, {"step": step, "files": files})
        sync_folder(temporary)
        checkpoint = self.folder / checkpoint_folder_name(step)
        shutil.rmtree(checkpoint, ignore_errors=True)
        os.replace(temporary, checkpoint)
        sync_folder(self.folder)
        for old in checkpoints_in(self.folder)[:-_NEWEST]:
            if not self._stays(old):
                shutil.rmtree(old)

    def _stays(self, checkpoint: Path) -> bool:
        return self.keep_every is not None and checkpoint_step(checkpoint) % self.keep_every == 0

    def _newest_whole(self, note: Callable[[str], None]) -> Path | None:
        """Collective. What is not whole goes."""
        for name in self._newest_first():
            if is_whole(self.folder / name):
                return self.folder / name
            if dist.get_rank() == 0:
                note(f"checkpoint {name} is damaged and was passed over")
                shutil.rmtree(self.folder / name)
        return None

    def _newest_first(self) -> list[str]:
        """Names of the checkpoints as rank 0 sees them, after what a kill has left unfinished is gone. Collective."""
        names: list[list[str]] = [[]]
        if dist.get_rank() == 0:
            for unfinished in self.folder.glob(f"{_WRITING}*"):
                shutil.rmtree(unfinished)
            names = [[checkpoint.name for checkpoint in reversed(checkpoints_in(self.folder))]]
        dist.broadcast_object_list(names)
        return names[0]


def load_state(state: ShardedState, folder: str) -> ShardedState:
    """The stored values of a trainer's sharded state. Collective.

    Raises ConfigError where the optimizer's state was divided otherwise, which Megatron stores in another form.
    """
    stored = dist_checkpointing.load_common_state_dict(folder)["optimizer"]
    before, now = _DIVIDED in stored, _DIVIDED in state["optimizer"]
    if before != now:
        key, value = "parallel.distributed_optimizer", str(before).lower()
        raise ConfigError([Problem(key, str(now).lower(), f"{folder} was written with {value}: say {value}")])
    return dist_checkpointing.load(state, folder)


class _Pending:
    """A checkpoint that this rank's thread is writing."""

    def __init__(self, step: int, folder: Path, request: Any) -> None:
        self.step = step
        self.folder = folder
        self._request = request
        self._digests: dict[str, str] = {}
        self._error: BaseException | None = None
        rank, _, results = request.async_fn_args or (0, None, None)
        buckets = _copied(request.preload_fn()) if request.preload_fn else []
        self.thread = threading.Thread(target=self._write, args=(rank, buckets, results), name="checkpoint")
        self.thread.start()

    def _write(self, rank: int, buckets: list[Any], results: Any) -> None:
        try:
            if buckets:
                self._request.async_fn(rank, buckets, results)
            self._digests = {file: digest_file(self.folder / file) for _, file, _ in buckets}
        except BaseException as error:  # told by `finish`, in the thread that trains
            self._error = error

    def finish(self) -> dict[str, str]:
        """Wait, let Megatron write its index, and gather the checksums of all ranks' files on rank 0. Collective."""
        self.thread.join()
        if self._error is not None:
            raise self._error
        for finalize in self._request.finalize_fns:
            finalize()
        by_rank: list[dict[str, str]] = [{} for _ in range(dist.get_world_size())]
        dist.gather_object(self._digests, by_rank if dist.get_rank() == 0 else None)
        return dict(collections.ChainMap(*by_rank))  # every file is written by one rank


def _copied(buckets: list[Any]) -> list[Any]:
    """The tensors as they are now. On a GPU Megatron has copied them to the host already; on a CPU it hands on the very
    weights that the next step will change while the thread writes them.
    """
    if torch.cuda.is_available():
        return buckets
    return [
        (path, file, (texts, [(item, tensor.clone()) for item, tensor in tensors]))
        for path, file, (texts, tensors) in buckets
    ]


def check_whole(checkpoint: Path) -> None:
    """Raises ArtifactError, on every rank, when a checkpoint is damaged. Collective."""
    if not is_whole(checkpoint):
        raise ArtifactError(f"{checkpoint}: the checkpoint is damaged; copy it again or start from another")


def is_whole(checkpoint: Path) -> bool:
    """Whether every file is there with the checksum it was written with; the ranks divide the reading. Collective."""
    (damaged,) = any_rank(not _is_rank_share_whole(checkpoint)).read()
    return not damaged


def _is_rank_share_whole(checkpoint: Path) -> bool:
    try:
        files = json.loads((checkpoint / _COMPLETE).read_text(encoding="utf-8"))["files"]
        mine = sorted(files)[dist.get_rank() :: dist.get_world_size()]
        return all(digest_file(checkpoint / name) == files[name] for name in mine)
    except (OSError, ValueError, KeyError):
        return False
