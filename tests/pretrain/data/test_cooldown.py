"""The cooldown: the last documents of every component, trained on when all others are done.

Covers pretrain.data.schedule, pretrain.data.token_files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infra.stages.stage import run_stage
from mixtures.formats.risk import STRUCTURAL
from mixtures.reading.built import BuiltMixture
from pretrain.data.epoch import DataSettings, build_epoch
from pretrain.data.schedule import Epoch, epoch_at, schedule_of, streams_of
from pretrain.data.token_files import token_files_of
from pretrain.runtime.distributed import process_groups
from pretrain.spec import ParallelSpec
from pretrain.stage import PRETRAIN
from tests.helpers.token_mixtures import EOS, random_documents, write_mixture

LAST = {"clean": 9, "risky": 0}  # documents of the cooldown


@pytest.fixture(params=["component", "all"])
def cooled(tmp_path: Path, request: pytest.FixtureRequest) -> BuiltMixture:
    """Two components; the first has a cooldown, the second is too small for one."""
    components = {"clean": random_documents(30), "risky": random_documents(6, seed=1)}
    packing = {"together": request.param}
    return BuiltMixture.open(write_mixture(tmp_path / "m", components, {}, cooldown=LAST, packing=packing))


def schedule_of_run(mixture: BuiltMixture) -> tuple[Epoch, ...]:
    return schedule_of(streams_of(mixture), mixture.sequence_length, 2, 8)


def targets(mixture: BuiltMixture, cooldown: bool, folder: Path) -> list[tuple[int, int]]:
    """(component, token) of every target of a pass, in no order."""
    settings = DataSettings(mixture.sequence_length, 96, EOS, folder / "indices", mixture.packing)
    dataset = build_epoch(token_files_of(mixture, cooldown), settings, seed=0)
    rows = dataset.read(range(len(dataset)))
    is_target = rows.risk[:, 1:] != STRUCTURAL
    return sorted(zip(rows.component[:, 1:][is_target].tolist(), rows.text[:, 1:][is_target].tolist(), strict=True))


def test_every_target_of_a_phase_comes_in_its_pass_and_in_no_other(cooled: BuiltMixture, tmp_path: Path) -> None:
    expected: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for number, files in enumerate(cooled.components):
        tokens, _ = files.open()
        border = tokens.starts[files.documents - LAST[files.name]]
        expected[False] += [(number, int(token)) for token in tokens.tokens[:border]]
        expected[True] += [(number, int(token)) for token in tokens.tokens[border:]]
    with process_groups(ParallelSpec(), 0):
        for cooldown, expected_targets in expected.items():
            assert targets(cooled, cooldown, tmp_path) == sorted(expected_targets)


def test_all_epochs_of_a_phase_are_over_before_the_next_begins(cooled: BuiltMixture) -> None:
    schedule = schedule_of_run(cooled)
    assert [scheduled.cooldown for scheduled in schedule] == [False, False, True, True]
    assert [scheduled.number for scheduled in schedule] == [0, 1, 2, 3]
    steps = np.cumsum([0, *(scheduled.steps for scheduled in schedule)])
    for number, scheduled in enumerate(schedule):
        assert epoch_at(schedule, int(steps[number])) == (scheduled, 0)
        assert epoch_at(schedule, int(steps[number + 1]) - 1) == (scheduled, scheduled.steps - 1)


def test_a_run_ends_with_the_cooldown_and_counts_every_token(cooled: BuiltMixture, tmp_path: Path, settings) -> None:
    run = run_stage(PRETRAIN, settings(mixture=str(cooled.path), epochs=2), tmp_path / "run", quiet=True)
    assert run.counts["tokens"] == 2 * cooled.tokens
    assert run.counts["steps"] == sum(scheduled.steps for scheduled in schedule_of_run(cooled))
