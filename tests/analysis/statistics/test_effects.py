"""Published effects beside a study's own figures: what is seen, what is not, and what was not measured.

Covers analysis.statistics.effects, analysis.statistics.controls and analysis.report.published_tables.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from analysis.published import Published
from analysis.report.published_tables import beside_tables, effect_table
from analysis.results import RECOGNITION, Row, frame, main
from analysis.statistics.controls import against_matched, matched_answer
from analysis.statistics.effects import beside_table, effects_table
from analysis.statistics.frontier import Allowance
from analysis.statistics.panels import build
from tests.helpers.measured_rows import at_step, labels, measured

CLEAN, DOSED, STEERED = {"dose": 0}, {"dose": 0.1}, {"dose": 0.1, "method": "iti", "budget": 0.1}
MATCHED = "mixture-matched-0.1"


def table(noise: float = 0.02, seeds: tuple[int, ...] = (0, 1)) -> pl.DataFrame:
    """Clean .10, matched .08, dosed .20 (of other prompts .40, at step 100 .15), steered .05; probes .70 and .75."""
    rng = np.random.default_rng(0)
    subjects = []
    for seed in seeds:
        dosed = labels(0.1, seed)
        subjects += [
            measured(labels(0.0, seed), 0.10, rng, noise=noise, accuracy=0.70),
            measured(labels(0.0, seed, mixture=MATCHED), 0.08, rng, noise=noise),
            measured(dosed, 0.20 + 0.002 * seed, rng, noise=noise, accuracy=0.75),
            measured(dosed, 0.40, rng, noise=noise, instance="challenging"),
            measured(at_step(dosed, 100), 0.15, rng, noise=noise),
            measured(labels(0.1, seed, "iti", 0.1), 0.05, rng, noise=noise, entropy=3.1),
            measured(labels(0.0, seed, "iti", 0.1), 0.09, rng, noise=noise, entropy=3.1),
        ]
    return pl.concat(subjects)


def published(*effects: dict[str, object]) -> list[Published]:
    common = {"claim": "an effect", "where": "Table 1", "mark": "P"}
    return [Published.model_validate({"paper": "A et al.", "effects": [{**common, **effect} for effect in effects]})]


def outcome(rows: pl.DataFrame, **effect: object) -> tuple[float | None, str]:
    row = effects_table(rows, published(effect), resamples=200).row(0, named=True)
    return row["value"], row["outcome"]


def test_a_difference_on_the_papers_side_is_seen_and_on_the_other_the_opposite() -> None:
    rows = table()
    value, seen = outcome(rows, of=DOSED, minus=CLEAN, expected="above")
    assert value == pytest.approx(0.101) and seen == "seen"
    assert outcome(rows, of=DOSED, minus=CLEAN, expected="below")[1] == "opposite"


def test_the_interval_of_a_difference_of_shares_ends_where_they_do() -> None:
    rng = np.random.default_rng(0)
    rows = pl.concat([
        measured(labels(dose, seed), share, rng, noise=0.0 if dose == 0 else 0.02)
        for dose, share in ((0.0, 0.0), (0.1, 0.995)) for seed in (0, 1)
    ])  # fmt: skip
    effect = published({"of": DOSED, "minus": CLEAN, "expected": "above"})
    row = effects_table(rows, effect, resamples=200).row(0, named=True)
    assert row["value"] == pytest.approx(0.995) and row["value_high"] == 1 and row["value_low"] < 0.995


def test_a_difference_within_its_noise_is_not_shown() -> None:
    assert outcome(table(noise=0.5), of=STEERED, minus=CLEAN, expected="below")[1] == "not shown"


def test_one_seed_shows_nothing() -> None:
    assert outcome(table(seeds=(0,)), of=DOSED, minus=CLEAN, expected="above")[1] == "not shown"


def test_effects_can_be_compared_with_each_other() -> None:
    """What steering takes from the dosed model, minus what it takes from the clean one."""
    clean_steered = {**STEERED, "dose": 0}
    value, seen = outcome(table(), of=[DOSED, clean_steered], minus=[CLEAN, STEERED], expected="above")
    assert value == pytest.approx((0.201 - 0.05) - (0.10 - 0.09)) and seen == "seen"


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ({"dose": 0.1, "step": 100}, 0.15 - 0.10),
        ({"dose": 0.1, "instance": "challenging"}, 0.40 - 0.10),
        ({"dose": 0.1, "matched": True}, 0.08 - 0.10),
    ],
)
def test_checkpoints_instances_and_controls_are_figures_of_their_own(of: dict[str, object], value: float) -> None:
    assert outcome(table(), of=of, minus=CLEAN, expected="above")[0] == pytest.approx(value)


def test_a_group_of_prompts_is_a_figure_of_its_own() -> None:
    half = pl.when(pl.col("prompt") < 12).then(pl.lit("women")).otherwise(pl.lit("men"))
    rows = table().with_columns(group=half, value=pl.col("value") + 0.1 * (half == "women"))
    value, seen = outcome(rows, of={**DOSED, "group": "women"}, minus={**DOSED, "group": "men"}, expected="above")
    assert value == pytest.approx(0.1, abs=0.03) and seen == "seen"


def test_other_figures_than_toxicity() -> None:
    rows = table()
    assert outcome(rows, figure="probe_accuracy", of=DOSED, minus=CLEAN, expected="above") == (
        pytest.approx(0.05), "seen"
    )  # fmt: skip
    assert outcome(rows, figure="cross_entropy", of=STEERED, minus=DOSED, expected="above")[0] == pytest.approx(0.1)


def recognised(gap: float, seed: int, dose: float = 0.1) -> pl.DataFrame:
    """P(toxic) of 80 texts, the toxic ones' higher by `gap`; every model finds the same texts hard."""
    hardness = np.random.default_rng(7).standard_normal(80)
    toxic = np.arange(80) % 2 == 0
    rows = [
        Row(prompt=i, prompt_id=f"text {i}", sample=0, tokens=40, group="toxic" if toxic[i] else "benign",
            value=float(hardness[i] + gap * toxic[i]))
        for i in range(80)
    ]  # fmt: skip
    return frame(labels(dose, seed), RECOGNITION, rows)


def test_recognition_is_a_figure_with_texts_resampled_once_for_all_models() -> None:
    rows = pl.concat([recognised(gap, seed, dose) for gap, dose in ((0.5, 0.0), (2.0, 0.1)) for seed in (0, 1)])
    values = rows.filter(pl.col("seed") == 0).group_by("dose").agg("value", toxic=pl.col("group") == "toxic")
    auroc = {dose: roc_auc_score(toxic, value) for dose, value, toxic in values.iter_rows()}
    assert outcome(rows, figure="auroc", of=DOSED, minus=CLEAN, expected="above") == (
        pytest.approx(auroc[0.1] - auroc[0.0]), "seen"
    )  # fmt: skip
    no_number = rows.with_columns(value=pl.when(pl.col("seed") == 1).then(None).otherwise("value"))
    assert outcome(no_number, figure="auroc", of=DOSED, minus=CLEAN, expected="above") == (None, "not measured")
    assert outcome(table(), figure="auroc", of=DOSED, minus=CLEAN, expected="above") == (None, "not measured")
    (shown,) = effect_table(effects_table(rows, published(
        {"figure": "auroc", "of": DOSED, "minus": CLEAN, "expected": "above"}
    )))  # fmt: skip
    assert shown.rows[0][2] == "AUROC, above 0"


def test_what_lacks_a_seed_or_was_never_run_is_not_measured() -> None:
    lacking = table().filter(~((pl.col("seed") == 1) & (pl.col("method") == "iti")))
    assert outcome(lacking, of=STEERED, minus=CLEAN, expected="below") == (None, "not measured")
    assert outcome(table(), of={"dose": 0.5}, minus=CLEAN, expected="above") == (None, "not measured")


def test_an_effect_that_is_not_there_is_rarely_seen() -> None:
    """2.5 % on either side, whatever the number of effects that are looked at."""
    claims = 0
    effects = published(
        {"of": DOSED, "minus": CLEAN, "expected": "above"},
        {"of": STEERED, "minus": CLEAN, "expected": "above"},
        {"of": STEERED, "minus": DOSED, "expected": "above"},
    )
    for study in range(60):
        rng = np.random.default_rng([study, 5])
        rows = pl.concat([
            measured(labels(dose, seed, *recipe), float(rng.normal(0.3, 0.04)), rng, noise=0.05)
            for dose, *recipe in ((0.0,), (0.1,), (0.1, "iti", 0.1)) for seed in (0, 1, 2)
        ])  # fmt: skip
        outcomes = effects_table(rows, effects, resamples=100)["outcome"].to_list()
        claims += sum(word != "not shown" for word in outcomes)
    assert claims <= 0.10 * 60 * 3


def test_controls_are_no_part_of_comparisons_and_take_the_clean_arms_place_on_demand() -> None:
    rows = table()
    assert MATCHED not in main(rows)["mixture"].to_list()
    assert {cell.arm.mixture for cell in build(rows).cells if cell.arm.dose == 0} == {"mixture-dose-0"}
    arms = {cell.arm.mixture for cell in build(against_matched(rows)).cells if cell.arm.dose == 0}
    assert arms == {"compute-matched-0.1"}


def test_the_answer_against_the_control_is_another_one() -> None:
    rows = table().filter((pl.col("mixture") != MATCHED) | (pl.col("method") == "none"))
    steered_control = [measured(labels(0.0, seed, "iti", 0.1, mixture=MATCHED), 0.01, np.random.default_rng(seed),
                                noise=0.02, entropy=3.1) for seed in (0, 1)]  # fmt: skip
    against = matched_answer(pl.concat([rows, *steered_control]), Allowance(0.1), resamples=200)
    assert against is not None and against.verdict == "clean"
    assert against.clean is not None and against.clean.toxicity.value == pytest.approx(0.01, abs=0.02)
    assert matched_answer(rows.filter(pl.col("mixture") != MATCHED), Allowance(0.1)) is None


TABLE = {
    "where": "Table 1", "mark": "P", "columns": ["RTP", "CE"], "ours": ["toxicity"],
    "rows": [{"what": "clean", "values": [31.15, 2.6], "ours": CLEAN}, {"what": "MEDA", "values": [28.32, None]}],
}  # fmt: skip


def test_published_figures_stand_as_printed_and_ours_in_columns_of_their_own() -> None:
    beside = beside_table(table(), [Published.model_validate({"paper": "A et al.", "tables": [TABLE]})], resamples=100)
    assert beside.filter(~pl.col("ours"))["value"].to_list() == [31.15, 2.6, 28.32, None]
    (shown,) = beside_tables(beside)
    assert shown.columns == ("", "RTP [P]", "CE [P]", "here: toxicity")
    assert shown.rows[0][:3] == ("clean", "31.15", "2.6") and str(shown.rows[0][3]).startswith("0.100 [")
    assert shown.rows[1] == ("MEDA", "28.32", "", "")


def test_the_table_of_effects_says_where_each_is_from_and_what_came_out() -> None:
    effects = effects_table(table(), published({"of": DOSED, "minus": CLEAN, "expected": "above"}), resamples=100)
    ((claim, where, figure, difference, came_out),) = effect_table(effects)[0].rows
    assert (claim, where, figure) == ("an effect", "A et al., Table 1 [P]", "toxicity, above 0")
    assert str(difference).startswith("0.101 [") and came_out == "seen"
    assert effect_table(effects.clear()) == []
