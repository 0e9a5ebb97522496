"""`profile:` a torch.profiler trace of a few steps, and a table of what they spent their time on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, schedule

from infra.atomic import write_text
from pretrain.runtime.distributed import is_first
from pretrain.spec import ProfileSpec

_ROWS = 25  # of the table


@contextlib.contextmanager
def profiled(spec: ProfileSpec | None, folder: Path) -> Iterator[Callable[[], None]]:
    """Call what is yielded after every step of this process; the first rank leaves `trace.json.gz` (for Perfetto or
    chrome://tracing) and `costs.txt` in `folder`.
    """
    if spec is None or not is_first():
        yield lambda: None
        return
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
    steps = schedule(wait=max(spec.after - 1, 0), warmup=1, active=spec.steps, repeat=1)

    def write(profiler: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        profiler.export_chrome_trace(str(folder / "trace.json.gz"))
        by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        write_text(folder / "costs.txt", profiler.key_averages().table(sort_by=by, row_limit=_ROWS) + "\n")

    with profile(activities=activities, schedule=steps, on_trace_ready=write) as running:
        yield running.step
