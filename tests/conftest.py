"""Settings of every test: properties have no time limit, and CI tries the same examples each time."""

import multiprocessing
import os

from hypothesis import settings

settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")


def pytest_unconfigure() -> None:
    """A worker that some test left behind must not keep the run from ending: Python waits for its pool at exit."""
    for child in multiprocessing.active_children():
        child.kill()
