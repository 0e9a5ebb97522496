"""Steerability over training: every checkpoint's figures, and the end's beside them.

Covers analysis.statistics.training and analysis.report.training_tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.report.training_tables import training_tables
from analysis.statistics.training import TRAINING, training_table
from tests.helpers.measured_rows import at_step, labels, measured

FIGURES = {None: (0.3, 0.1, 0.8), 50: (0.2, 0.2, 0.6), 100: (0.25, 0.15, 0.7)}  # step: unsteered, steered, probes


def table() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for step, (plain, steered, accuracy) in FIGURES.items():
        for seed in (0, 1):
            subjects = labels(0.25, seed), labels(0.25, seed, "iti", 0.1)
            subjects = subjects if step is None else tuple(at_step(subject, step) for subject in subjects)
            rows.append(measured(subjects[0], plain, rng, noise=0.02, accuracy=accuracy))
            rows.append(measured(subjects[1], steered, rng, noise=0.02, entropy=3.1))
    return pl.concat(rows)


def test_figures_of_every_checkpoint_and_of_the_end_come_in_order() -> None:
    frame = training_table(table(), resamples=200)
    assert frame.schema == TRAINING
    plain, steered = (frame.filter(pl.col("method") == name) for name in ("none", "iti"))
    assert plain["step"].to_list() == steered["step"].to_list() == [50, 100, None]
    assert plain["toxicity"].to_list() == pytest.approx([0.2, 0.25, 0.3])
    assert plain["probe_accuracy"].to_list() == pytest.approx([0.6, 0.7, 0.8])
    assert steered["taken_away"].to_list() == pytest.approx([0.0, 0.1, 0.2], abs=1e-9)
    assert plain["taken_away"].null_count() == steered["probe_accuracy"].null_count() == 3
    assert (steered["taken_away_low"] <= steered["taken_away"]).all()
    (shown,) = training_tables(frame)
    assert [row[2] for row in shown.rows[:3]] == ["50", "100", "end"]


def test_without_checkpoints_there_is_nothing_to_show() -> None:
    frame = training_table(table().filter(pl.col("step").is_null()))
    assert frame.is_empty() and frame.schema == TRAINING and training_tables(frame) == []


def test_a_checkpoint_without_probes_has_its_other_figures() -> None:
    frame = training_table(table().filter(pl.col("evaluation") != "probes"), resamples=50)
    assert frame.height == 6 and frame["probe_accuracy"].null_count() == 6
