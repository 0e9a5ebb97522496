"""Nats per token and bits per byte over documents and seeds.

Covers analysis.statistics.entropy, analysis.statistics.ratios, analysis.report.entropy_tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from analysis import results
from analysis.report.entropy_tables import entropy_tables
from analysis.results import BYTES, CROSS_ENTROPY, Labels, Row, Score
from analysis.statistics.entropy import entropy_table


def subject(dose: float, seed: int, rows: Sequence[Row], method: str = "none", strength: float = 0.0) -> pl.DataFrame:
    labels = Labels(f"dose-{dose:g}", dose, "keep", f"m{dose:g}", seed, method, strength)
    return results.frame(labels, CROSS_ENTROPY, rows)


def documents(
    nats: Sequence[float | None], tokens: int = 50, size: int = 200, instance: str | None = None
) -> list[Row]:
    return [
        Row(instance=instance, prompt=number, prompt_id=f"d{number}", value=value, tokens=tokens,
            scores=(Score("", BYTES, size),))
        for number, value in enumerate(nats)
    ]  # fmt: skip


def test_figures_are_ratios_of_sums_and_instances_stand_apart() -> None:
    table = entropy_table(
        pl.concat([
            subject(0.0, 0, [*documents([4.0, 2.0]), *documents([1.0] * 3, 10, 80, "wiki")]),
            subject(0.0, 1, documents([3.0, 3.5])),
        ])
    )  # fmt: skip
    assert table["instance"].to_list() == [None, "wiki"]
    main, wiki = table.to_dicts()
    assert main["nats_per_token"] == pytest.approx(12.5 / 4)
    assert main["bits_per_byte"] == pytest.approx(12.5 * 50 / math.log(2) / 800)
    assert (main["documents"], main["tokens"], main["bytes"]) == (2, 100, 400)
    assert wiki["nats_per_token"] == wiki["nats_per_token_low"] == pytest.approx(1.0)
    assert main["nats_per_token_low"] < main["nats_per_token"] < main["nats_per_token_high"]


def test_intervals_hold_the_truth_over_documents() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        table = entropy_table(subject(0.0, 0, documents((3 + rng.normal(0, 0.5, 40)).tolist())), resamples=300)
        hits += table["nats_per_token_low"][0] <= 3 <= table["nats_per_token_high"][0]
    assert hits >= 51


def test_a_document_that_is_no_number_leaves_its_cell_without_figures() -> None:
    table = entropy_table(
        pl.concat([
            subject(0.0, 0, documents([2.0, 2.0])),
            subject(0.25, 0, documents([1.0, None])),
            subject(0.5, 0, documents([float("nan"), 1.0])),
        ])
    )  # fmt: skip
    assert table["unmeasured"].to_list() == [0, 1, 1]
    assert table["nats_per_token"].to_list() == [2.0, None, None]
    assert entropy_table(subject(0.5, 0, documents([None])))["bits_per_byte"].to_list() == [None]


def test_rows_without_bytes_have_nats_only() -> None:
    old = subject(
        0.0, 0, [Row(prompt=0, prompt_id="d", value=2.0, tokens=4), Row(prompt=1, prompt_id="e", value=2.0, tokens=4)]
    )
    assert entropy_table(old).select("nats_per_token", "bits_per_byte").row(0) == (2.0, None)
    assert entropy_table(old.clear()).is_empty()


def test_the_table_says_which_documents_and_what_they_cost() -> None:
    table = entropy_table(
        pl.concat([
            subject(0.0, 0, [*documents([2.0, 2.0]), *documents([3.0, 3.0], instance="risky")]),
            subject(0.25, 0, documents([2.5, 2.5]), "iti", 4.0),
        ])
    )  # fmt: skip
    (shown,) = entropy_tables(table)
    assert [row[:3] for row in shown.rows] == [
        ("held out", "clean", "none"), ("held out", "25 % keep", "iti at strength 4"), ("risky", "clean", "none")
    ]  # fmt: skip
    assert shown.rows[0][3] == "2.000 [2.000, 2.000]"
    assert entropy_tables(pl.DataFrame()) == []
