"""Samples of a built mixture: complete, aligned, and in an order that other components do not change.

Covers pretrain.data.epoch, pretrain.data.samples.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import DataError
from mixtures.formats.indexed import risk_prefix
from mixtures.formats.risk import STRUCTURAL
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.data.token_files import ComponentFiles
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec
from tests.helpers.token_mixtures import EOS, write_pair

CPU = torch.device("cpu")
lengths = st.lists(st.integers(1, 40), min_size=1, max_size=25)


def risk_of(token: int) -> int:
    """The tests' risk byte is a function of the token, so that alignment can be seen."""
    return token % 254 + 1


def component(folder: Path, name: str, sizes: list[int], first: int) -> ComponentFiles:
    """Documents whose tokens count up from `first`, each token once."""
    documents, position = [], first
    for size in sizes:
        documents.append(list(range(position, position + size)))
        position += size
    write_pair(folder / name, documents, [[risk_of(token) for token in document] for document in documents])
    return ComponentFiles(name, folder / name, risk_prefix(folder / name))


def epoch(components: list[ComponentFiles], folder: Path, length: int, seed: int = 3):
    return build_epoch(components, DataSettings(length, 65000, EOS, folder / "indices"), seed)


@settings(max_examples=25, deadline=None)
@given(clean=lengths, risky=lengths, length=st.integers(2, 24), size=st.integers(1, 5), ranks=st.integers(1, 3))
def test_every_token_is_a_target_exactly_once_and_carries_its_own_risk(clean, risky, length, size, ranks):
    with tempfile.TemporaryDirectory() as name, process_groups(ParallelSpec(), 0):
        folder = Path(name)
        components = [component(folder, "clean", clean, 1000), component(folder, "risky", risky, 30000)]
        dataset = epoch(components, folder, length)
        seen: Counter[int] = Counter()
        for rank in range(ranks):
            batches = Batches(dataset, size * 2 * ranks, 2, rank, ranks)
            for step in range(batches.steps):
                for batch in batches.read(step, CPU):
                    is_target = batch.target_risk != STRUCTURAL
                    seen.update(batch.targets[is_target].tolist())
                    assert [risk_of(token) for token in batch.targets[is_target].tolist()] == batch.target_risk[
                        is_target
                    ].tolist()
                    known = batch.input_risk != STRUCTURAL
                    assert [risk_of(token) for token in batch.inputs[known].tolist()] == batch.input_risk[
                        known
                    ].tolist()
                    assert (batch.component[is_target] == (batch.targets[is_target] >= 30000)).all()
                    assert (batch.input_component[known] == (batch.inputs[known] >= 30000)).all()
        expected = [*range(1000, 1000 + sum(clean)), *range(30000, 30000 + sum(risky))]
        assert seen == Counter(expected)


def test_the_input_before_a_target_is_the_token_before_it_in_the_stream(tmp_path):
    with process_groups(ParallelSpec(), 0):
        dataset = epoch([component(tmp_path, "only", [50], 1000)], tmp_path, 8)
        pairs = {}
        for row in dataset.read(range(len(dataset))).text.tolist():
            pairs |= dict(zip(row[1:], row[:-1], strict=True))
    assert all(pairs[token] == token - 1 for token in range(1001, 1050))
    assert pairs[1000] == EOS


def test_another_component_does_not_change_the_order_of_the_clean_samples(tmp_path):
    with process_groups(ParallelSpec(), 0):
        clean = component(tmp_path, "clean", [13] * 30, 1000)
        orders = []
        for dose in (0, 10, 40):
            components = [clean] + ([component(tmp_path, f"risky{dose}", [9] * dose, 30000)] if dose else [])
            dataset = epoch(components, tmp_path / str(dose), 16)
            text = dataset.read(range(len(dataset))).text
            orders.append(text[dataset.stream == 0].tolist())
    assert orders[0] == orders[1] == orders[2]


def test_epochs_differ_in_order_and_not_in_content(tmp_path):
    with process_groups(ParallelSpec(), 0):
        only = component(tmp_path, "only", [7] * 40, 1000)
        first, second = (epoch([only], tmp_path, 8, seed) for seed in (3, 4))
        texts = [data.read(range(len(data))).text[:, 1:].ravel().tolist() for data in (first, second)]
    assert texts[0] != texts[1]
    assert Counter(texts[0]) == Counter(texts[1])


def test_a_risk_twin_of_other_documents_is_refused(tmp_path):
    only = component(tmp_path, "a", [5, 6], 1000)
    other = component(tmp_path, "b", [6, 5], 1000)
    with process_groups(ParallelSpec(), 0), pytest.raises(DataError, match="risk twin"):
        epoch([ComponentFiles("a", only.prefix, other.risk_prefix)], tmp_path, 8)
