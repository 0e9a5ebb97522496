"""A training sample is traced back to what it was made of, in the trainer's own order."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

sys.path.append(str(Path(__file__).parents[1] / "mixtures"))
from tagged import build, clean_documents, mixture_spec, risky_documents, write_curation

from infra.errors import InputError
from mixtures.built import BuiltMixture
from pretrain.data import DataSettings, build_epoch
from pretrain.distributed import process_groups
from pretrain.parts import parts_of
from pretrain.samples import read_sample, trace_sample
from pretrain.spec import ParallelSpec

SEED = 5


@pytest.fixture(scope="module", params=["component", "all"])
def mixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> BuiltMixture:
    """Two components, one of them repeated, packed apart or together."""
    folder = tmp_path_factory.mktemp("traced")
    curation = write_curation(folder / "demo", {"clean": clean_documents(80), "forum": risky_documents(60)})
    components = {"clean": {"corpus": "clean", "tokens": 3000, "max_epochs": 2},
                  "risky": {"corpus": "forum", "fraction_of_total": 0.3}}  # fmt: skip
    spec = mixture_spec(curation, components=components, hold_out={}, packing={"together": request.param})
    return build(spec, folder / "m")


def test_every_sample_is_traced_to_the_tokens_that_the_trainer_reads(mixture: BuiltMixture, tmp_path: Path) -> None:
    settings = DataSettings(64, mixture.facts.vocab_size, mixture.facts.eos_id, tmp_path / "cache", mixture.packing)
    with process_groups(ParallelSpec(), 0):
        dataset = build_epoch(parts_of(mixture, cooldown=False), settings, SEED)
        rows = [dataset[number] for number in range(len(dataset))]
    for number in {0, 1, len(rows) // 2, len(rows) - 1}:
        sample = read_sample(mixture, number, SEED)
        size = len(sample.tokens)
        assert sample.tokens.tolist() == rows[number]["text"][1 : size + 1].tolist()
        assert (rows[number]["risk"][1 + size :] == 255).all()
        for piece in sample.pieces:
            files = mixture.component(piece.origin.component)
            at = slice(piece.origin.position, piece.origin.position + piece.last - piece.first)
            assert sample.tokens[piece.first : piece.last].tolist() == files.open()[0].tokens[at].tolist()
            assert sample.risk[piece.first : piece.last].tolist() == files.open()[1].tokens[at].tolist()
    with pytest.raises(InputError, match=f"has {len(rows)} samples, from 0"):
        read_sample(mixture, len(rows), SEED)


def test_documents_spans_and_tokens_are_told_and_text_only_when_asked(mixture: BuiltMixture) -> None:
    documents, spans, tokens = trace_sample(mixture.path, 3, 0, SEED, show_text=True)
    ids = {row["id"] for row in pq.read_table(mixture.path / "documents.parquet").to_pylist()}
    assert documents.rows and {row[5] for row in documents.rows} <= ids
    assert documents.title.startswith("Sample 3 of epoch 0, seed 5: 64 targets") and len(tokens.rows) == 64
    risky = [row[0] for row in tokens.rows if row[2] > 1]
    told: set[int] = set()
    for row in spans.rows:
        first, last = map(int, str(row[0]).split("-"))
        told |= set(range(first, last + 1))
        assert row[5] in ("you idiot", "what a fool 😀") and row[3] == "toxicity"
    assert told == set(risky)
    quiet = trace_sample(mixture.path, 3, 0, SEED, show_text=False)
    assert "idiot" not in str(quiet) and "text" not in (*quiet[1].columns, *quiet[2].columns)


def test_epochs_and_seeds_present_other_samples_first(mixture: BuiltMixture) -> None:
    first, second = (read_sample(mixture, 0, seed).tokens for seed in (SEED, SEED + 1))
    assert not np.array_equal(first, second)
    titles = [trace_sample(mixture.path, 0, *which, show_text=False)[0].rows for which in ((1, SEED), (0, SEED + 1))]
    assert titles[0] == titles[1]
