"""Several ranks on this machine at the price of one import: processes forked off a server that has imported all.

A rank finds its place in the environment as under torchrun; the store is held by the process that starts them.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

import torch.distributed as dist

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pretrain.training.run"])


def on_ranks(ranks: int, work: Callable[..., None], *arguments: Any) -> None:
    """Run `work(*arguments)` on every rank and wait for them; the first rank that fails fails the test."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    started = [_context.Process(target=_rank, args=(rank, ranks, store.port, work, arguments)) for rank in range(ranks)]
    for process in started:
        process.start()
    for process in started:
        process.join(600)
        process.kill()
    assert [process.exitcode for process in started] == [0] * ranks


def in_another_process(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start `work(*arguments)` beside this process, alone in its run."""
    process = _context.Process(target=work, args=arguments)
    process.start()
    return process


def _rank(rank: int, ranks: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    environment = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": ranks,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    os.environ |= {name: str(value) for name, value in environment.items()} | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the other ranks wait in a collective that this one will not enter
