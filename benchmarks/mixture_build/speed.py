"""Tokens per second of one core: the tokenizer alone, datatrove's writer of Megatron files, ours with its risk twin."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.mixture_build.corpora import write_mixture
from infra.config.spec import load_spec
from infra.stages.stage import run_stage
from mixtures.corpora.columns import open_corpus
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE
from mixtures.tokenizing.corpus_tokens import ShardJob, tokenise_shard

_EOS, _EOS_ID = "<|endoftext|>", 50279
_LIMIT = "tokenizers: encode_batch alone"
_PEER = "datatrove: MegatronDocumentTokenizer, no risk"


def measure(folder: Path, curation: Path, tokenizer: Path, rounds: int) -> list[tuple[str, float, float, float]]:
    """(what, tokens/s, times the tokenizer's own speed, times datatrove's) for each way: medians over rounds, each of
    which takes the ways in an order of its own. A round before them warms up.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    shards = [(name, file) for name in ("clean", "toxic") for file in open_corpus(curation, name).shards]
    texts = _texts([file for _, file in shards])
    ways: dict[str, Callable[[], int]] = {
        _LIMIT: lambda: _alone(texts, tokenizer),
        _PEER: lambda: _datatrove(folder / "datatrove", texts, tokenizer),
        "hormesis: tokens and risk twin from Parquet": lambda: _ours(folder / "ours", shards, tokenizer),
        "hormesis: the whole build (select, copy, checksums too)": lambda: _build(
            folder / "build", curation, tokenizer
        ),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    tokens = ways[_LIMIT]() + len(texts)  # with the EOS that the others write
    order, chance = list(ways), random.Random(0)
    for number in range(rounds + 1):
        chance.shuffle(order)
        for name in order:
            seconds = _seconds(ways[name])
            if number:
                took[name].append(seconds)
    return [(name, tokens / median(turns), _times(took[_LIMIT], turns), _times(took[_PEER], turns))
            for name, turns in took.items()]  # fmt: skip


def _times(other: list[float], seconds: list[float]) -> float:
    """How many times as fast, the median over rounds."""
    return median(slow / fast for slow, fast in zip(other, seconds, strict=True))


def _seconds(work: Callable[[], object]) -> float:
    """Processor seconds of this process: not what else the machine does meanwhile."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _texts(shards: list[Path]) -> list[str]:
    import pyarrow.parquet as pq

    return [text for shard in shards for text in pq.read_table(shard, columns=["text"]).column("text").to_pylist()]


def _alone(texts: list[str], tokenizer: Path) -> int:
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(tokenizer))
    batches = (texts[first : first + 1000] for first in range(0, len(texts), 1000))
    return sum(len(encoding) for batch in batches for encoding in loaded.encode_batch(batch, add_special_tokens=False))


def _datatrove(folder: Path, texts: list[str], tokenizer: Path) -> int:
    from datatrove.data import Document
    from datatrove.pipeline.tokens import MegatronDocumentTokenizer

    shutil.rmtree(folder, ignore_errors=True)
    writer = MegatronDocumentTokenizer(str(folder), "it", str(tokenizer), _EOS)
    writer.run(Document(text, str(number)) for number, text in enumerate(texts))
    return len(texts)


def _ours(folder: Path, shards: list[tuple[str, Path]], tokenizer: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(tokenizer.parent, folder / "tokenizer", copy_function=shutil.copy)
    os.replace(folder / "tokenizer" / tokenizer.name, folder / "tokenizer" / "tokenizer.json")
    jobs = (ShardJob(shard, folder / f"{name}-{shard.stem}", name, folder / "tokenizer", _EOS_ID, "toxicity", None)
            for name, shard in shards)  # fmt: skip
    return sum(documents for job in jobs for documents in tokenise_shard(job))


def _build(folder: Path, curation: Path, tokenizer: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    file = write_mixture(folder, curation, tokenizer, "all", "all", -1)
    _, spec = load_spec(file, {"mixture": lambda: MixtureSpec})
    return int(run_stage(MIXTURE, spec, folder / "out", quiet=True).counts["tokens"])
