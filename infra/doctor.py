"""What this machine can run: Python, packages by extra, processors, memory, disk, GPUs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from infra.artifacts.artifact import version_of
from infra.render.page import Table

_NEEDED = ("torch", "transformers", "datatrove", "pyarrow", "polars", "scikit-learn", "alt-profanity-check", "plotly")
_OPTIONAL = {
    "megatron-core": "pretraining (extra: megatron)",
    "onnxruntime": "ONNX number formats of scorers (extra: onnx)",
    "ray": "cluster execution (extra: ray)",
}


def examine(folder: Path) -> tuple[Table, bool]:
    """Rows of (what, found, verdict), and whether everything that is always needed is there."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    rows: list[tuple[object, ...]] = [
        ("Python", platform.python_version(), "ok"),
        ("processors", os.cpu_count() or 1, "ok"),
        ("memory", f"{memory / 2**30:.0f} GiB", "ok"),
        ("free disk at --out", f"{shutil.disk_usage(disk).free / 2**30:.0f} GiB", "ok"),
        ("GPU", *_gpus()),
    ]
    missing = [name for name in _NEEDED if not version_of(name)]
    rows += [(name, version_of(name) or "-", "missing" if name in missing else "ok") for name in _NEEDED]
    rows += [(name, version_of(name) or "-", "ok" if version_of(name) else f"absent: no {why}")
             for name, why in _OPTIONAL.items()]  # fmt: skip
    return Table("hormesis doctor", ("what", "found", "verdict"), tuple(rows)), not missing


def gpu_names() -> list[str]:
    """Names of the GPUs here; asked of the driver's own tool, as importing torch takes seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    done = subprocess.run([tool, "-L"], capture_output=True, text=True, timeout=20)  # noqa: S603 (fixed arguments)
    return [line.split("(")[0].strip() for line in done.stdout.splitlines() if line.startswith("GPU")]


def _gpus() -> tuple[str, str]:
    if shutil.which("nvidia-smi") is None:
        return "none", "ok: everything runs on the CPU, at small size"
    names = gpu_names()
    return (", ".join(names), "ok") if names else ("driver without a GPU", "nvidia-smi -L names none")
