"""Worker processes end with their parent, however it ends, and take their own children with them.

Covers infra.jobs.processes.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from subprocess import DEVNULL, PIPE

import pytest

from infra.jobs.processes import worker_number, worker_pool
from tests.helpers import ROOT

PROGRAM = """
import os, subprocess, sys, time
from infra.jobs.processes import worker_pool

def work(seconds):
    child = subprocess.Popen(["sleep", str(seconds)])
    print(os.getpid(), child.pid, flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    with worker_pool(2) as pool:
        list(pool.map(work, [60, 60]))
"""


def alive(pid):
    """Whether a process runs (a zombie that nobody has waited for does not)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_and_their_children_end_when_the_parent_is_killed(tmp_path, kill):
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "program.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=PIPE, stderr=DEVNULL, text=True, env=environment)
    pids = [int(pid) for _ in range(2) for pid in process.stdout.readline().split()]
    assert len(pids) == 4 and all(alive(pid) for pid in pids)
    process.send_signal(kill)
    process.wait()
    deadline = time.monotonic() + 30
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def test_leaving_by_an_exception_ends_a_worker_that_is_still_starting():
    with pytest.raises(RuntimeError, match="enough"), worker_pool(1) as pool:
        running = pool.submit(time.sleep, 600)
        while not running.running():  # true as soon as it is on its way: the worker imports Python's library now
            time.sleep(0.01)
        raise RuntimeError("enough")
    deadline = time.monotonic() + 30
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_setup_runs_in_every_worker():
    with worker_pool(2, _mark) as pool:
        assert set(pool.map(_marked, range(4))) == {"yes"}


def _mark():
    os.environ["MARKED_BY_SETUP"] = "yes"


def _marked(_):
    return os.environ.get("MARKED_BY_SETUP")


def number_of(barrier_folder):
    """The worker's number, when as many workers as there are tasks have begun."""
    number = worker_number()
    (barrier_folder / str(os.getpid())).touch()
    while len(list(barrier_folder.iterdir())) < 3:
        time.sleep(0.01)
    return number


def test_workers_of_a_pool_are_numbered(tmp_path):
    with worker_pool(3) as pool:
        assert sorted(pool.map(number_of, [tmp_path] * 3)) == [0, 1, 2]
    assert worker_number() == 0
