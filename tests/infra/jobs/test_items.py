"""Work cut into items: each item is done once, and what failed is done when the work is begun again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import RanksFailed
from infra.jobs.items import JOBS, alone, for_each, forget_jobs
from infra.stages.stage import Workspace


def double(file: Path) -> Iterator[int]:
    """Add a line to the file beside, so that a second call shows; fails where there is no file to read."""
    number = int(file.read_text())
    with file.with_suffix(".double").open("a") as done:
        done.write(f"{2 * number}\n")
    yield number


def test_an_item_is_done_once_and_a_failed_one_again(tmp_path: Path) -> None:
    workspace = alone(Workspace(tmp_path, tmp_path / "store", workers=4, quiet=True))
    assert workspace.workers == 1
    files = [tmp_path / f"{number}.txt" for number in range(3)]
    for number in (0, 2):
        files[number].write_text(str(number))
    with pytest.raises(RanksFailed) as failed:
        for_each("double all", double, files, ["zero", "one", "two"], workspace)
    assert [(failure.rank, failure.reads) for failure in failed.value.failures] == [(1, "one")]
    files[1].write_text("1")
    for_each("double all", double, files, ["zero", "one", "two"], workspace)
    assert [file.with_suffix(".double").read_text() for file in files] == ["0\n", "2\n", "4\n"]
    assert (tmp_path / JOBS).is_dir()
    forget_jobs(workspace)
    assert not (tmp_path / JOBS).exists()
