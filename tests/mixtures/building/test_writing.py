"""Token files written in pieces are those that a loop over documents writes, wherever they are cut and interrupted.

Covers mixtures.building.gather, mixtures.building.pieces and mixtures.building.streams.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.safety.chaos import contents
from infra.errors import ArtifactError
from infra.jobs.local import LocalWorkers
from infra.stages.stage import Workspace
from mixtures.building import build as building
from mixtures.building import gather, pieces, streams
from mixtures.building.build import write_streams
from mixtures.building.gather import locate
from mixtures.building.pieces import hashes, reserve, risk_histogram, risky_tokens, write_piece
from mixtures.building.streams import Stream, pieces_of, stream_of
from mixtures.corpora.columns import Corpus, ShardPaths
from mixtures.corpora.select import CorpusDocuments, Selection
from mixtures.formats import risk
from mixtures.formats.indexed import Indexed, bin_path, risk_prefix
from mixtures.selection.prefixes import NONE, Prefixes
from mixtures.selection.resolve import Replaced, TokenisedCorpus
from mixtures.tokenizing.encode import Encoded
from mixtures.tokenizing.shard_files import ShardFiles
from tests.helpers.tagged_corpora import (
    build,
    clean_documents,
    mixture_data,
    mixture_spec,
    risky_documents,
    write_curation,
)


def tokenised(folder: Path, lengths: list[list[int]], seed: int = 0, dtype: str = "uint16") -> TokenisedCorpus:
    """A tokenised corpus of random tokens; `lengths` are those of the documents of each shard."""
    draw = np.random.default_rng(seed)
    for number, shard in enumerate(lengths):
        sizes = np.asarray(shard, np.int32)
        ids = draw.integers(0, 60_000, int(sizes.sum())).astype(dtype)
        levels = draw.integers(0, 256, len(ids)).astype(np.uint8)
        with ShardFiles(folder / f"{number:05d}", "made", dtype) as files:
            files.add([f"{number}-{row}" for row in range(len(shard))], Encoded(ids, levels, sizes))
    shards = np.repeat(np.arange(len(lengths)), [len(shard) for shard in lengths])
    rows = np.concatenate([np.arange(len(shard)) for shard in lengths])
    sizes = np.concatenate(lengths).astype(np.int64)
    documents = CorpusDocuments(shards.astype(np.int32), rows.astype(np.int32), sizes, np.zeros(len(sizes), np.uint64))
    names = [f"{number:05d}.parquet" for number in range(len(lengths))]
    return TokenisedCorpus(
        Corpus("made", ShardPaths(folder, names), {"documents": len(sizes)}, True), folder, documents
    )


def drawn(corpus: TokenisedCorpus, folder: Path, seed: int, *, plain: bool) -> Stream:
    """Some of the documents, some of them more than once, one cut; unless `plain` with prefixes and replaced tokens."""
    draw, documents = np.random.default_rng(seed), corpus.documents
    some = np.sort(draw.permutation(len(documents))[: draw.integers(1, len(documents) + 1)])
    training = documents.take(some)
    position = draw.integers(0, len(some), 2 * len(some))
    tokens = training.tokens[position].copy()
    tokens[-1] = draw.integers(1, tokens[-1] + 1)
    selection = Selection(position, np.zeros(len(position), np.int32), tokens)
    prefixes = Prefixes((np.arange(3), np.arange(900, 901)), draw.integers(NONE, 2, len(position)))
    extra = (None, None) if plain else (prefixes, Replaced(128, 7))
    return stream_of("it", folder, locate(corpus), training, selection, *extra)


def loop(stream: Stream) -> tuple[list[int], list[int], list[int]]:
    """Tokens, risk bytes and risky tokens a document, one document after another."""
    ids: list[int] = []
    levels: list[int] = []
    risky: list[int] = []
    for index, position in enumerate(stream.selection.position.tolist()):
        prefix = stream.located.source.prefix(int(stream.documents.shard[position]))
        row, size = int(stream.documents.row[position]), int(stream.selection.tokens[index])
        text = Indexed(prefix).document(row)[:size].astype(np.int64)
        risks = Indexed(risk_prefix(prefix)).document(row)[:size].copy()
        if stream.prefixes is not None and (number := stream.prefixes.number[index]) != NONE:
            before = stream.prefixes.tokens[number]
            text = np.concatenate([before, text])
            risks = np.concatenate([np.full(len(before), risk.STRUCTURAL, np.uint8), risks])
        if stream.replaced is not None:
            above = risks >= stream.replaced.level
            text[above & (risks != risk.STRUCTURAL)] = stream.replaced.token
            risks[above] = risk.STRUCTURAL
        ids += text.tolist()
        levels += risks.tolist()
        risky.append(int(risk.at_or_above(risks, 0.5).sum()))
    return ids, levels, risky


def files_of(stream: Stream) -> tuple[Path, Path]:
    """Token and risk file of a stream that is not finished."""
    prefix = stream.folder / pieces.UNFINISHED / stream.name
    return bin_path(prefix), bin_path(risk_prefix(prefix))


def is_what_the_loop_writes(stream: Stream) -> None:
    """Assert that the files and counts of a written stream are those of the loop over documents."""
    ids, levels, risky = loop(stream)
    tokens, risks = files_of(stream)
    assert np.fromfile(tokens, stream.dtype).tolist() == ids
    assert np.fromfile(risks, np.uint8).tolist() == levels
    assert risky_tokens(stream).tolist() == risky
    assert risk_histogram(stream).tolist() == np.bincount(levels, minlength=256).tolist()


SHARDS = st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=30), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(lengths=SHARDS, seed=st.integers(0, 9), plain=st.booleans(), dtype=st.sampled_from(["uint16", "int32"]),
       chunk=st.integers(1, 300), short=st.sampled_from([0, 20, 1000]), few=st.sampled_from([1, 4]))  # fmt: skip
def test_pieces_in_any_order_hold_the_bytes_of_a_loop_over_documents(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[list[int]], seed: int, plain: bool, dtype: str,
    chunk: int, short: int, few: int,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("written")
    stream = drawn(tokenised(folder / "tokens", lengths, seed, dtype), folder, seed, plain=plain)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        patch.setattr(pieces, "CHUNK", max(1, chunk // 3))
        for name, value in {"_SHORT": short, "_FEW": few, "_BLOCK": 50}.items():
            patch.setattr(gather, name, value)
        cut = pieces_of(stream)
        reserve(stream, len(cut))
        for index in np.random.default_rng(seed).permutation(len(cut)).tolist():
            assert sum(write_piece(cut[index])) == cut[index].last - cut[index].first
    is_what_the_loop_writes(stream)


def test_many_shards_need_few_open_files(tmp_path: Path) -> None:
    stream = drawn(tokenised(tmp_path / "tokens", [[5, 3]] * 40), tmp_path, 1, plain=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd"))) if Path("/proc/self/fd").is_dir() else 64
    cut = pieces_of(stream)
    reserve(stream, len(cut))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 12, hard))
    try:
        for piece in cut:
            list(write_piece(piece))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    is_what_the_loop_writes(stream)


def cut_short(prefix: Path) -> None:
    """Lose the end of a token file."""
    os.truncate(bin_path(prefix), bin_path(prefix).stat().st_size - 2)


def other_documents(prefix: Path) -> None:
    """As many tokens in other documents, with a twin that fits them."""
    with ShardFiles(prefix, "made", "uint16") as files:
        files.add(["a", "b"], Encoded(np.zeros(8, np.uint16), np.ones(8, np.uint8), np.asarray([3, 5], np.int32)))


def no_tokens(prefix: Path) -> None:
    """Lose a token file."""
    bin_path(prefix).unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(cut_short, "do not match"), (other_documents, "not those of its table"), (no_tokens, "do not match")],
)
def test_a_shard_that_does_not_fit_its_table_is_named(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    stream = drawn(tokenised(tmp_path / "tokens", [[5, 3]] * 4), tmp_path, 1, plain=True)
    damage(tmp_path / "tokens" / f"{stream.shards[-1]:05d}")
    (piece,) = pieces_of(stream)
    reserve(stream, 1)
    with pytest.raises(ArtifactError, match=reason):
        list(write_piece(piece))


@pytest.mark.parametrize("short", [0, 1000])
def test_a_shard_that_ends_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: int
) -> None:
    located = locate(tokenised(tmp_path, [[5, 3]]))
    cut_short(tmp_path / "00000")
    monkeypatch.setattr(gather, "_SHORT", short)
    monkeypatch.setattr(gather, "_FEW", 1)
    tokens, risks = np.zeros(8, np.uint16), np.zeros(8, np.uint8)
    with pytest.raises(ArtifactError, match=r"00000\.bin: shorter"):
        gather.gather(located, np.asarray([0, 1]), np.asarray([5, 3]), np.asarray([0, 5]), tokens, risks)


def test_pieces_whose_files_are_gone_are_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHUNK", 10)
    stream = drawn(tokenised(tmp_path / "tokens", [[5, 3]] * 8), tmp_path, 1, plain=True)
    workspace = Workspace(tmp_path, tmp_path, quiet=True)
    with LocalWorkers(1) as workers:
        write_streams([stream], workspace, workers)
        before = hashes(stream)
        for path in files_of(stream):
            path.unlink()
            path.with_name(path.name + ".sha256").unlink()
        write_streams([stream], workspace, workers)
    assert hashes(stream) == before
    is_what_the_loop_writes(stream)


def test_builds_in_many_pieces_on_any_number_of_workers_are_equal(
    curation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conditioning = {"prefixes": "toxicity: {toxicity:.1f}\n", "cooldown": 0.2}
    spec = mixture_spec(curation, conditioning=conditioning)
    whole = contents(build(spec, tmp_path / "whole", tmp_path / "store").path)
    monkeypatch.setattr(building, "SMALL", 0)
    for workers, chunk in ((1, 400), (2, 700), (3, 1100)):
        monkeypatch.setattr(streams, "CHUNK", chunk)
        chunked = build(spec, tmp_path / f"{workers}", tmp_path / "store", workers)
        assert contents(chunked.path) == whole


KILLED = """
import sys
from pathlib import Path
from infra.stages.stage import run_stage
from mixtures.building import build, streams
from mixtures.spec.mixture import MixtureSpec
from mixtures.stage import MIXTURE
if __name__ == "__main__":
    build.SMALL, streams.CHUNK = 0, 1000
    spec = MixtureSpec.model_validate_json(sys.argv[1])
    run_stage(MIXTURE, spec, Path(sys.argv[2]), workers=int(sys.argv[3]), quiet=True)
"""


@pytest.mark.slow
def test_a_build_killed_between_pieces_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    corpora = {"clean": clean_documents(300), "forum": risky_documents(100)}
    curated = write_curation(tmp_path / "demo", corpora, shard_size=60)
    components = mixture_data(curated)["components"] | {"clean": {"corpus": "clean", "tokens": 20_000, "max_epochs": 3}}
    spec = mixture_spec(curated, components=components)
    expected = contents(build(spec, tmp_path / "whole", tmp_path / "store").path)
    script, target = tmp_path / "job.py", tmp_path / "killed" / "m"
    script.write_text(KILLED)
    command = [sys.executable, str(script), spec.model_dump_json(), str(target), "2"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for moment in ("write-mixture/completions/00005", "hash-mixture/completions/00001"):
        job = subprocess.Popen(command, env=environment)
        while job.poll() is None and not any(target.parent.glob(f".m.*/.jobs/{moment}")):
            time.sleep(0.001)
        assert job.poll() is None, "the job ended before it could be killed: the test shows nothing"
        job.kill()
        job.wait()
    subprocess.run(command, env=environment, check=True)
    assert contents(target) == expected
    assert not [path for path in target.parent.rglob(".*") if path.name not in (".", "..")]
