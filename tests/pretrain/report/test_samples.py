"""A training sample is traced back to what it was made of, in the trainer's own order.

Covers pretrain.report.sample_origins, pretrain.data.document_ranges.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from infra.errors import InputError
from infra.stages.stage import run_stage
from mixtures.reading.built import BuiltMixture
from pretrain.data.epoch import Batch, Batches, DataSettings, build_epoch
from pretrain.data.schedule import Epoch
from pretrain.data.token_files import token_files_of
from pretrain.report.sample_origins import read_sample, trace_sample
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec
from pretrain.stage import PRETRAIN
from tests.helpers.tagged_corpora import build, clean_documents, mixture_spec, risky_documents, write_curation
from tests.helpers.token_mixtures import EOS, small_run, write_mixture

SEED = 5
Trained: TypeAlias = tuple[Path, dict[tuple[int, int], list[list[int]]]]


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
        dataset = build_epoch(token_files_of(mixture, cooldown=False), settings, SEED)
        rows = dataset.read(range(len(dataset)))
    for number in {0, 1, len(dataset) // 2, len(dataset) - 1}:
        sample = read_sample(mixture, number, SEED)
        size = len(sample.tokens)
        assert sample.tokens.tolist() == rows.text[number, 1 : size + 1].tolist()
        assert (rows.risk[number, 1 + size :] == 255).all()
        for piece in sample.documents:
            files = mixture.component(piece.origin.component)
            at = slice(piece.origin.position, piece.origin.position + piece.last - piece.first)
            assert sample.tokens[piece.first : piece.last].tolist() == files.open()[0].tokens[at].tolist()
            assert sample.risk[piece.first : piece.last].tolist() == files.open()[1].tokens[at].tolist()
    with pytest.raises(InputError, match=f"has {len(dataset)} samples, from 0"):
        read_sample(mixture, len(dataset), SEED)


def test_a_sample_that_begins_with_a_document_is_traced_to_its_first_token(tmp_path: Path) -> None:
    documents = [[word] * 31 + [EOS] for word in range(3, 8)]  # each as long as a sequence
    built = BuiltMixture.open(write_mixture(tmp_path / "m", {"clean": (documents, [[1] * 32] * 5)}, {}))
    for number in range(5):
        sample = read_sample(built, number, SEED)
        (piece,) = sample.documents
        assert (piece.origin.token, piece.first, piece.last) == (0, 0, 32)
        assert sample.tokens.tolist() == documents[piece.origin.ordinal]


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
    assert titles[0] != titles[1]  # a second epoch is no other seed's first


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of two epochs over a mixture with prefixes and a cooldown, and the targets that its trainer read, by epoch
    and step.
    """
    folder = tmp_path_factory.mktemp("trained")
    curation = write_curation(folder / "demo", {"clean": clean_documents(80), "forum": risky_documents(60)})
    conditioning = {"prefixes": "toxicity: {toxicity:.1f}\n", "cooldown": 0.3}
    built = build(mixture_spec(curation, hold_out={}, conditioning=conditioning), folder / "m", folder / "store")
    read: dict[tuple[int, int], list[list[int]]] = {}
    original = Batches.read
    numbers = {Epoch(number, False, 0).order_seed(SEED): number for number in range(4)}

    def watched(self: Batches, step: int, device: torch.device) -> Iterator[Batch]:
        rows = read[numbers[self.dataset.seed], step] = []
        for batch in original(self, step, device):
            rows += batch.targets.tolist()
            del rows[len(self.dataset) - step * self.global_size :]  # the last step is filled up with padding
            yield batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "read", watched)
        run_stage(PRETRAIN, small_run(mixture=str(built.path), epochs=2, seed=SEED), folder / "run", quiet=True)
    return folder / "run", read


def test_samples_of_a_run_are_what_its_trainer_read_in_every_epoch_and_in_the_cooldown(
    trained: Trained,
) -> None:
    run, read = trained
    assert {epoch for epoch, _ in read} == {0, 1, 2, 3}  # two, and two of the cooldown
    for (epoch, step), rows in read.items():
        row_number = 0 if step % 2 else len(rows) - 1
        number = 8 * step + row_number
        documents, _, tokens = trace_sample(run, number, epoch, seed=99, show_text=False)
        assert documents.title.startswith(f"Sample {number} of epoch {epoch}, seed {SEED}, step {step + 1} of that")
        assert tokens.rows and [row[1] for row in tokens.rows] == rows[row_number][: len(tokens.rows)]
        assert set(rows[row_number][len(tokens.rows) :]) <= {EOS}  # padding


def test_in_the_cooldown_stand_the_last_documents_without_their_prefixes(
    trained: Trained,
) -> None:
    run, read = trained
    mixture = BuiltMixture.open(run.parent / "m")
    rows = pq.read_table(mixture.path / "documents.parquet").to_pylist()
    last = set()
    for component in mixture.components:
        own = [row for row in rows if row["component"] == component.name]
        last |= {(component.name, row["id"]) for row in own[-component.cooldown_documents :]}
    traced: dict[bool, set[tuple[object, object]]] = {False: set(), True: set()}
    structural: dict[bool, int] = {False: 0, True: 0}
    for epoch, cooldown in ((0, False), (2, True)):
        samples = sum(len(rows) for (which, _), rows in read.items() if which == epoch)
        for number in range(0, samples, 1 if cooldown else 6):
            documents, _, tokens = trace_sample(run, number, epoch, 0, show_text=False)
            traced[cooldown] |= {(row[1], row[5]) for row in documents.rows}
            structural[cooldown] += sum(row[3] == "structural" for row in tokens.rows)
    assert traced[True] == last and not traced[False] & last
    assert structural[False] > 0 and structural[True] == 0


def test_an_epoch_or_sample_that_a_run_does_not_have_is_told(
    trained: Trained,
) -> None:
    run, read = trained
    with pytest.raises(InputError, match=r"--epoch 4: .* has 4 epochs, from 0"):
        trace_sample(run, 0, 4, SEED, show_text=False)
    samples = sum(len(rows) for (epoch, _), rows in read.items() if epoch == 2)
    with pytest.raises(InputError, match=rf"--sample {samples}: .* has {samples} samples, from 0"):
        trace_sample(run, samples, 2, SEED, show_text=False)


def test_a_run_whose_mixture_is_not_beside_it_says_so(trained: Trained, tmp_path: Path) -> None:
    run, _ = trained
    shutil.copytree(run, tmp_path / "elsewhere" / "run")
    with pytest.raises(InputError, match=r"its mixture .* is not beside it; put it there"):
        trace_sample(tmp_path / "elsewhere" / "run", 0, 0, SEED, show_text=False)
