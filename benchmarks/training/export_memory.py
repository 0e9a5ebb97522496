"""What exporting a model adds to the memory of rank 0, in models: with copies, tensor and pipeline ranks.

    python -m benchmarks.training.export_memory [--ranks 6]

A model of 228 MB on the ranks of this machine's CPU over gloo. Peak resident size while exporting, above what it was
before. Leaves with 1 where it is 1.5 models or more.
"""

from __future__ import annotations

import argparse
import collections
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist

from pretrain.huggingface.folder import save_model
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import build_model, transformer_config
from pretrain.model.weights import gather
from pretrain.runtime.distributed import is_first, process_groups
from pretrain.spec import ParallelSpec

LIMIT = 1.5
SHAPE = Architecture(
    num_layers=8,
    hidden_size=512,
    num_attention_heads=8,
    num_query_groups=8,
    ffn_hidden_size=2048,
    vocab_size=46_000,
    max_sequence_length=2048,
    rotary_base=10_000.0,
)
LAYOUTS = (ParallelSpec(), ParallelSpec(tensor=2), ParallelSpec(pipeline=2), ParallelSpec(tensor=2, pipeline=2))


def export_in(folder: Path, architecture: Architecture, parallel: ParallelSpec) -> None:
    """Export a model without a training; rank 0 leaves in FOLDER/ratio how many models that added. Collective."""
    torch.set_num_threads(1)
    with process_groups(parallel, 0), torch.no_grad():
        model = build_model(architecture, transformer_config(architecture, parallel, torch.float32))
        weights = gather(model, architecture)
        dist.barrier()
        before = _peak_from_now()
        if is_first():
            save_model(weights, torch.float32, architecture, 0, folder)
            (folder / "ratio").write_text(str((_memory("VmHWM") - before) / (4 * architecture.parameters)))
        else:
            collections.deque(weights, maxlen=0)
        dist.barrier()


def _peak_from_now() -> int:
    """Forget the peak so far; bytes that are resident."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def _on_ranks(ranks: int, work: Callable[..., None], *arguments: object) -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = [
        multiprocessing.get_context("spawn").Process(target=_rank, args=(rank, ranks, store.port, work, arguments))
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    if any(process.exitcode for process in started):
        raise SystemExit("a rank failed")


def _rank(rank: int, ranks: int, port: int, work: Callable[..., None], arguments: tuple[object, ...]) -> None:
    where = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in where.items()} | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    work(*arguments)


def main() -> int:
    """Measure every layout that the ranks can have, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, default=6)
    ranks = parser.parse_args().ranks
    print(f"# Memory of an export\n\nA model of {4 * SHAPE.parameters / 1e6:.0f} MB on {ranks} gloo ranks\n")
    print("| tensor | pipeline | copies | rank 0 adds, models |\n|---|---|---|---|")
    worst = 0.0
    for parallel in LAYOUTS:
        if ranks % parallel.copy_size:
            continue
        with tempfile.TemporaryDirectory() as folder:
            _on_ranks(ranks, export_in, Path(folder), SHAPE, parallel)
            ratio = float((Path(folder) / "ratio").read_text())
        print(f"| {parallel.tensor} | {parallel.pipeline} | {ranks // parallel.copy_size} | {ratio:.2f} |", flush=True)
        worst = max(worst, ratio)
    print(f"\nAt most {worst:.2f} models; the limit is {LIMIT}.")
    return int(worst >= LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
