"""Settings of every test: one thread a process, properties have no time limit, CI tries the same examples each time, no
worker is left, what needs a GPU is skipped without one.
"""

import multiprocessing
import os
import time

import pytest
from hypothesis import settings

# Tests run beside each other, and sums depend on the number of threads; processes that they start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy, which read it when they are imported

settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs an NVIDIA GPU")


@pytest.fixture(scope="module", autouse=True)
def no_worker_is_left():
    """A worker process that outlives its pool keeps Python from ending, and may go on writing."""
    yield
    deadline = time.monotonic() + 10  # a killed one is gone a moment later
    while (left := multiprocessing.active_children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in left:
        child.kill()
    assert not left


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster on this machine for the tests of a file: a head without workers and two nodes with room for two
    each. It ends with the file, as its services use the processor all the while.
    """
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'hormesis[ray]'")
    from benchmarks.safety.chaos import raylets

    with raylets(nodes=2, cpus=2) as started:
        yield started
