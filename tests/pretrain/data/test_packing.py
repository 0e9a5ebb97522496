"""How documents share training sequences: packed together or by component, attention reset or not, order kept.

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

from mixtures.formats.indexed import risk_prefix
from mixtures.formats.risk import STRUCTURAL
from mixtures.spec.mixture import PackingSpec
from pretrain.data.epoch import Batches, DataSettings, build_epoch
from pretrain.data.schedule import streams_of
from pretrain.data.token_files import ComponentFiles
from pretrain.model.architecture import Architecture
from pretrain.model.olmo import build_model, transformer_config
from pretrain.model.weights import initialise
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec
from pretrain.start.inputs import open_inputs
from tests.helpers.token_mixtures import EOS, random_documents, write_mixture, write_pair

CPU = torch.device("cpu")
RISKY = 30000  # tokens from here on are those of the second component
lengths = st.lists(st.integers(1, 20), min_size=1, max_size=15)


def component(folder: Path, name: str, sizes: list[int], first: int, shuffled: bool = True) -> ComponentFiles:
    """Documents whose tokens count up from `first`; the risk byte of a token follows from it."""
    starts = [first + sum(sizes[:index]) for index in range(len(sizes))]
    documents = [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
    write_pair(folder / name, documents, [[token % 254 + 1 for token in document] for document in documents])
    return ComponentFiles(name, folder / name, risk_prefix(folder / name), shuffled)


def epoch(components: list[ComponentFiles], folder: Path, length: int, **packing: object):
    settings = DataSettings(length, 65000, EOS, folder / "indices", PackingSpec.model_validate(packing))
    return build_epoch(components, settings, seed=3)


def targets_of(dataset) -> list[int]:
    """All targets, sample after sample."""
    rows = dataset.read(range(len(dataset)))
    return rows.text[:, 1:][rows.risk[:, 1:] != STRUCTURAL].tolist()


@settings(max_examples=20, deadline=None)
@given(
    lengths, lengths, st.integers(2, 16), st.tuples(st.booleans(), st.booleans()), st.sampled_from(["all", "component"])
)
def test_every_token_is_a_target_once_with_its_own_risk_component_and_document(
    clean, risky, length, shuffled, together
):
    with tempfile.TemporaryDirectory() as name, process_groups(ParallelSpec(), 0):
        folder = Path(name)
        components = [
            component(folder, "clean", clean, 1000, shuffled[0]),
            component(folder, "risky", risky, RISKY, shuffled[1]),
        ]
        dataset = epoch(components, folder, length, together=together, reset_attention=True)
        batches = Batches(dataset, 4, 2)
        seen: Counter[int] = Counter()
        documents: dict[tuple[int, int], set[int]] = {}
        for batch in (batch for step in range(batches.steps) for batch in batches.read(step, CPU)):
            is_target = batch.target_risk != STRUCTURAL
            targets, components = batch.targets[is_target].tolist(), batch.component[is_target].tolist()
            seen.update(targets)
            assert [token % 254 + 1 for token in targets] == batch.target_risk[is_target].tolist()
            assert components == [int(token >= RISKY) for token in targets]
            known = batch.input_risk != STRUCTURAL
            assert (batch.input_component[known] == (batch.inputs[known] >= RISKY)).all()
        offset = 0 if together == "component" else len(clean)
        rows = dataset.read(range(len(dataset)))
        for token, number in zip(rows.text[:, 1:].ravel().tolist(), rows.document[:, 1:].ravel().tolist(), strict=True):
            if number >= 0:
                kind = int(token >= RISKY)
                documents.setdefault((kind, number - offset * kind), set()).add(token)
    expected = {(0, i): set(range(1000 + sum(clean[:i]), 1000 + sum(clean[: i + 1]))) for i in range(len(clean))}
    expected |= {(1, i): set(range(RISKY + sum(risky[:i]), RISKY + sum(risky[: i + 1]))) for i in range(len(risky))}
    assert documents == expected and max(seen.values()) == 1


@pytest.mark.parametrize("together", ["all", "component"])
def test_a_component_that_keeps_its_order_is_trained_on_in_that_order(tmp_path, together):
    with process_groups(ParallelSpec(), 0):
        components = [
            component(tmp_path, "clean", [5] * 40, 1000, False),
            component(tmp_path, "risky", [3] * 40, RISKY),
        ]
        order = targets_of(epoch(components, tmp_path, 8, together=together))
    clean, risky = ([t for t in order if (t >= RISKY) == is_risky] for is_risky in (False, True))
    assert clean == sorted(clean) and risky != sorted(risky)


def test_packing_together_mixes_components_evenly_and_leaves_each_its_order_at_every_dose(tmp_path):
    with process_groups(ParallelSpec(), 0):
        clean = component(tmp_path, "clean", [7] * 60, 1000)
        orders = []
        for dose in (0, 20, 60):
            components = [clean] + ([component(tmp_path, f"r{dose}", [7] * dose, RISKY)] if dose else [])
            orders.append(targets_of(epoch(components, tmp_path / str(dose), 16, together="all")))
    assert len({tuple(t for t in order if t < RISKY) for order in orders[1:]}) == 1
    assert orders[1] != sorted(orders[1])
    half = orders[2][: len(orders[2]) // 2]
    assert abs(sum(token >= RISKY for token in half) / len(half) - 0.5) < 0.05


def test_with_attention_reset_a_document_is_predicted_as_if_it_stood_alone(tmp_path):
    documents = random_documents(6, longest=12)[0]
    architecture = Architecture(2, 32, 4, 4, 64, 96, 64)
    alone = [cross_entropy(architecture, [[EOS, *document[:-1]]], [document], None)[0] for document in documents]
    inputs, targets = (
        [EOS, *(t for document in documents for t in document)][:-1],
        [t for document in documents for t in document],
    )
    numbers = torch.tensor([[n for n, document in enumerate(documents) for _ in document]])
    packed = cross_entropy(architecture, [inputs], [targets], numbers)[0]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-5, rtol=0)
    assert (cross_entropy(architecture, [inputs], [targets], None)[0] - packed).abs().max() > 1e-3


def cross_entropy(
    architecture: Architecture, inputs: list[list[int]], targets: list[list[int]], document: torch.Tensor | None
):
    """What a fresh model says of the targets, [batch, sequence]."""
    with process_groups(ParallelSpec(), 0), torch.no_grad():
        model = build_model(architecture, transformer_config(architecture, ParallelSpec(), torch.float32))
        initialise(model, architecture, 1)
        positions = torch.arange(len(inputs[0])).expand(len(inputs), -1)
        return model(torch.tensor(inputs), positions, document, labels=torch.tensor(targets))


def test_a_run_packs_as_its_mixture_says(settings, tmp_path):
    from infra.stages.stage import run_stage
    from pretrain.stage import PRETRAIN

    components = {"clean": random_documents(20), "risky": random_documents(9, seed=1)}
    losses = {}
    for together, reset in (("component", False), ("all", False), ("all", True)):
        packing = {"together": together, "reset_attention": reset}
        mixture = write_mixture(
            tmp_path / f"m-{together}-{reset}", components, {"clean": components["risky"]}, packing=packing
        )
        spec = settings(mixture=str(mixture), log_every=1)
        tokens = sum(len(document) for documents, _ in components.values() for document in documents)
        if together == "all":
            assert streams_of(open_inputs(spec).mixture) == ((tokens,), (0,))
        run = run_stage(PRETRAIN, spec, tmp_path / f"run-{together}-{reset}", quiet=True)
        assert run.counts["tokens"] == tokens
        losses[together, reset] = run.counts["cross_entropy"]["clean"]
    assert len(set(losses.values())) == 3
