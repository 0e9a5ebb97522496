"""Tokens a second of the training-data loader, and the private memory of a rank for each document.

    python -m benchmarks.training.loader [--tokens 20000000] [--documents 20000000] [--sequence 2048] [--rows 8]

Batches are read on one processor from a made mixture of two components (documents of 500 tokens in the mean), in every
setting of packing. The limit beside it is numpy copying as many tokens out of the memory map in one piece, as the
int64 that a model takes. Memory is measured in a process of its own, over an index of many documents of one token.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mixtures.formats.indexed import Indexed, bin_path, idx_path, risk_prefix, write_idx
from mixtures.spec.mixture import PackingSpec
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.data.token_files import ComponentFiles
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec

_MEAN = 500  # tokens of a document
_SETTINGS = [(together, reset) for together in ("component", "all") for reset in (False, True)]


def write_component(prefix: Path, lengths: np.ndarray) -> ComponentFiles:
    """Token files of made tokens and risk."""
    draw, count = np.random.default_rng(0), int(lengths.sum())
    draw.integers(3, 50_000, count, np.uint16).tofile(bin_path(prefix))
    draw.integers(1, 255, count, np.uint8).tofile(bin_path(risk_prefix(prefix)))
    write_idx(idx_path(prefix), lengths, "uint16")
    write_idx(idx_path(risk_prefix(prefix)), lengths, "uint8", "00" * 32)
    return ComponentFiles(prefix.name, prefix, risk_prefix(prefix))


def components(folder: Path, tokens: int) -> list[ComponentFiles]:
    """Two components, nine to one, with `tokens` tokens in all."""
    draw = np.random.default_rng(1)
    shares = {"clean": 0.9, "risky": 0.1}
    sizes = {name: draw.geometric(1 / _MEAN, int(share * tokens / _MEAN)) for name, share in shares.items()}
    return [write_component(folder / name, lengths.astype(np.int32)) for name, lengths in sizes.items()]


def tokens_per_second(batches: Batches, rows: int, sequence: int) -> float:
    """Target tokens read a second of processor time, over the whole epoch but its last step."""
    steps = range(1, batches.steps - 1)
    next(batches.read(0, torch.device("cpu")))
    begun = time.process_time()
    for step in steps:
        for _ in batches.read(step, torch.device("cpu")):
            pass
    return len(steps) * rows * sequence / (time.process_time() - begun)


def copied_per_second(tokens: np.ndarray) -> float:
    """Tokens a second that numpy copies out of the memory map as int64."""
    tokens.astype(np.int64)  # so that its pages are in memory
    begun = time.process_time()
    for _ in range(3):
        for first in range(0, len(tokens), 1 << 14):
            tokens[first : first + (1 << 14)].astype(np.int64)
    return 3 * len(tokens) / (time.process_time() - begun)


def speeds(folder: Path, tokens: int, sequence: int, rows: int) -> Iterator[str]:
    """A line for every setting of packing."""
    component_files = components(folder, tokens)
    limit = copied_per_second(Indexed(component_files[0].prefix).tokens)
    yield f"numpy copies {limit / 1e6:8.1f} M tokens/s out of the memory map"
    for together, reset in _SETTINGS:
        packing = PackingSpec(together=together, reset_attention=reset)
        epoch = build_epoch(component_files, DataSettings(sequence, 50_000, 0, folder / "indices", packing), seed=0)
        rate = tokens_per_second(Batches(epoch, rows, rows), rows, sequence)
        name = f"packed by {together}, attention {'reset' if reset else 'not reset'}"
        yield f"{name:40} {rate / 1e6:8.2f} M tokens/s, {rate / limit:.3f} of the copy"


def private_bytes() -> int:
    """Bytes of this process that no file holds."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) << 10


def measure_memory(folder: Path, documents: int, together: str, results: multiprocessing.SimpleQueue[float]) -> None:
    """Open an epoch of documents of one token; put the seconds it took, and the private bytes a document afterwards."""
    names = [folder / "many", folder / "more"]
    component_files = [ComponentFiles(prefix.name, prefix, risk_prefix(prefix)) for prefix in names]
    packing = PackingSpec(together=together, reset_attention=True)
    settings = DataSettings(2048, 50_000, 0, folder / f"many-{together}", packing)
    with process_groups(ParallelSpec(), 0):
        before, begun = private_bytes(), time.perf_counter()
        epoch = build_epoch(component_files, settings, seed=0)
        results.put(time.perf_counter() - begun)
        next(Batches(epoch, 8, 8).read(0, torch.device("cpu")))
        results.put((private_bytes() - before) / documents)


def memories(folder: Path, documents: int) -> Iterator[str]:
    """Lines of packing by component and together: of the process that builds the index, and of one after it."""
    for name, share in (("many", 0.9), ("more", 0.1)):
        write_component(folder / name, np.ones(int(share * documents), np.int32))
    context = multiprocessing.get_context("spawn")
    for together in ("component", "all"):
        for number in range(2):
            results = context.SimpleQueue()
            process = context.Process(target=measure_memory, args=(folder, documents, together, results))
            process.start()
            seconds, private = results.get(), results.get()
            process.join()
            doing = "opened again" if number else "built"
            yield f"packed by {together}, {doing} in {seconds:6.1f} s: {private:6.2f} private bytes a document"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=20_000_000)
    parser.add_argument("--documents", type=int, default=20_000_000)
    parser.add_argument("--sequence", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        with process_groups(ParallelSpec(), 0):
            for line in speeds(Path(folder), options.tokens, options.sequence, options.rows):
                print(line, flush=True)
        for line in memories(Path(folder), options.documents):
            print(line, flush=True)


if __name__ == "__main__":
    main()
