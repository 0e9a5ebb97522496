"""A thread that reads ahead changes neither what is read nor where its errors come up, and it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from infra.artifacts.fingerprint import digest_file
from mixtures.formats.indexed import risk_prefix
from mixtures.spec.mixture import PackingSpec
from pretrain.data.epoch import Batch, Batches, DataSettings, build_epoch
from pretrain.data.prefetch import PrefetchedBatches, read_ahead
from pretrain.data.token_files import ComponentFiles
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec, PretrainSpec
from pretrain.training.run import pretrain
from tests.helpers.token_mixtures import EOS, random_documents, write_pair
from tests.helpers.training_runs import log, workspace

CPU = torch.device("cpu")


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    """Several steps of three micro-batches each, of which this rank reads every second."""
    write_pair(tmp_path / "a", *random_documents(60))
    packing = PackingSpec(reset_attention=True)
    settings = DataSettings(16, 96, EOS, tmp_path / "indices", packing)
    with process_groups(ParallelSpec(), 0):
        epoch = build_epoch([ComponentFiles("a", tmp_path / "a", risk_prefix(tmp_path / "a"))], settings, seed=1)
    return Batches(epoch, 12, 2, 1, 2)


@pytest.fixture
def ahead(batches: Batches) -> Iterator[PrefetchedBatches]:
    """The same, read by a thread, which is gone afterwards."""
    prefetched = PrefetchedBatches(**vars(batches), ahead=2)
    yield prefetched
    prefetched.close()
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def same(left: Iterator[Batch], right: Iterator[Batch]) -> bool:
    """Whether the batches are, bit for bit."""
    pairs = zip(left, right, strict=True)
    return all(torch.equal(a, b) for one, two in pairs for a, b in zip(one.tensors(), two.tensors(), strict=True))


def test_batches_read_ahead_are_those_read_in_turn(batches: Batches, ahead: PrefetchedBatches) -> None:
    assert batches.steps > 4
    for step in range(1, batches.steps):  # as a resumed run, from the second on
        assert same(ahead.read(step, CPU), batches.read(step, CPU))


def test_a_step_that_is_looked_at_again_and_one_that_was_left_early_come_complete(
    batches: Batches, ahead: PrefetchedBatches
) -> None:
    for step in (0, 1, 1, 2, 0):
        assert same(ahead.read(step, CPU), batches.read(step, CPU))
    next(ahead.read(1, CPU))
    for step in (2, 3):
        assert same(ahead.read(step, CPU), batches.read(step, CPU))


def test_micro_batches_are_read_before_they_are_asked_for_but_no_more_than_fit(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, enough = [], threading.Event()
    original = type(batches.dataset).read

    def counted(self: object, numbers: range, count: int) -> object:
        read.append(numbers)
        if len(read) == 4:
            enough.set()
        return original(self, numbers, count)

    monkeypatch.setattr(type(batches.dataset), "read", counted)
    ahead = PrefetchedBatches(**vars(batches), ahead=2)
    next(ahead.read(0, CPU))
    assert enough.wait(10)  # one taken, two in the queue, one in the thread's hand
    ahead.close()
    assert len(read) == 4


def test_an_error_of_the_thread_comes_up_at_its_step_as_it_was(batches: Batches, ahead: PrefetchedBatches) -> None:
    shuffle = batches.dataset.streams[0]._shuffle
    damaged = shuffle.copy()
    damaged[2 * batches.global_size + 3] = 10**6  # this rank's, in step 2
    batches.dataset.streams[0]._shuffle = damaged
    for step in (0, 1):
        assert same(ahead.read(step, CPU), batches.read(step, CPU))
    reader = ahead.read(2, CPU)
    with pytest.raises(IndexError, match="1000000 is out of bounds"):
        list(reader)
    batches.dataset.streams[0]._shuffle = shuffle
    assert same(ahead.read(2, CPU), batches.read(2, CPU))


def test_a_run_whose_batches_a_thread_reads_ends_with_the_same_bytes_and_without_a_thread(
    settings: Callable[..., PretrainSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = settings(epochs=2, evaluate_every=3)
    pretrain(spec, workspace(tmp_path / "plain"))
    for module in ("run", "evaluate"):
        monkeypatch.setattr(
            f"pretrain.training.{module}.read_ahead", lambda batches, _: PrefetchedBatches(**vars(batches))
        )
    pretrain(spec, workspace(tmp_path / "ahead"))
    weights = [digest_file(tmp_path / name / "hf" / "model.safetensors") for name in ("plain", "ahead")]
    assert weights[0] == weights[1] and log(tmp_path / "plain")[0]["loss"] == log(tmp_path / "ahead")[0]["loss"]
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def test_a_process_that_ends_without_closing_does_not_hang(tmp_path: Path) -> None:
    write_pair(tmp_path / "a", *random_documents(60))
    program = f"""
import torch
from pathlib import Path
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.runtime.distributed import process_groups
from pretrain.data.token_files import ComponentFiles
from pretrain.data.prefetch import PrefetchedBatches
from pretrain.spec import ParallelSpec
with process_groups(ParallelSpec(), 0):
    settings = DataSettings(16, 96, 0, Path({str(tmp_path)!r}))
    epoch = build_epoch([ComponentFiles("a", Path({str(tmp_path / "a")!r}), None)], settings, 1)
next(PrefetchedBatches(epoch, 4, 2).read(0, torch.device("cpu")))
raise SystemExit(3)
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=60, check=False).returncode == 3


def test_a_cpu_reads_in_turn(batches: Batches) -> None:
    assert read_ahead(batches, CPU) is batches
