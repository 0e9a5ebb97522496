"""Figures of groups, of checkpoints and of fitted curves: they show the frames' figures, and nothing where there are
none.

Covers analysis.report.group_figures, analysis.report.checkpoint_figures, analysis.report.fit_figures,
analysis.report.figures and analysis.report.section.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
import pytest

from analysis.report.checkpoint_figures import checkpoint_probes, checkpoint_toxicity
from analysis.report.figures import Figure, FigurePanel
from analysis.report.findings import Findings, compute
from analysis.report.fit_figures import fitted_figures
from analysis.report.group_figures import group_figures, shown_settings
from analysis.report.page import render
from analysis.report.section import drawn
from analysis.report.words import arm_words
from analysis.statistics.frontier import Allowance
from analysis.statistics.groups import GROUPS
from analysis.statistics.training import training_table
from tests.helpers import made_up_study
from tests.helpers.measured_rows import at_step, labels, measured

NAMES = ("<script>hit()</script>", "a & b", "women")
BUDGET = Allowance(0.1)


@pytest.fixture(scope="module")
def findings() -> Findings:
    study = made_up_study.with_groups(made_up_study.report(prompts=12, samples=2), NAMES)
    return compute(made_up_study.with_checkpoints(study, (100, 1200)))


def group_rows(**columns: Any) -> pl.DataFrame:
    """Rows of the frame `groups`; what is not told is that of the clean arm doing nothing."""
    usual = {"dose": 0.0, "policy": "keep", "mixture": "m", "method": "none", "budget": None, "strength_low": 0.0,
             "strength_high": 0.0, "instance": "set", "group": "g", "prompts": 9, "generations": 9, "unscored": 0,
             "toxicity": 0.2, "toxicity_low": 0.1, "toxicity_high": 0.4}  # fmt: skip
    height = max((len(values) for values in columns.values()), default=1)
    table = {name: columns.get(name, [value] * height) for name, value in usual.items()}
    return pl.DataFrame(table, schema={name: kind for name, kind in GROUPS.items() if name in usual})


def frontier_of(groups: pl.DataFrame, costs: list[float]) -> pl.DataFrame:
    """The rows of the frontier of these cells, with their costs."""
    return groups.select("dose", "policy", "mixture", "method", "budget", "strength_low").with_columns(
        cost=pl.Series(costs), cost_of_clean=pl.Series(costs) + 0.05
    )


def shown(figure: Figure, panel: str) -> dict[str, dict[str, Any]]:
    """Traces of a panel by their names."""
    return {trace["name"]: trace for one in figure.panels if one.title == panel for trace in one.traces}


def ends(bars: Mapping[str, list[float]], values: list[float]) -> list[tuple[float, float]]:
    """Both ends of error bars."""
    return [(v - a, v + b) for v, a, b in zip(values, bars["arrayminus"], bars["array"], strict=True)]


def test_every_group_of_every_arm_stands_at_its_figure_with_its_interval(findings: Findings) -> None:
    frame = findings.frames["groups"]
    (figure,) = group_figures(frame, findings.frames["frontier"], BUDGET)
    assert [panel.title for panel in figure.panels] == ["unsteered", "iti", "prompt", "random", "sasa"]
    rows = frame.filter(pl.col("method") == "none").sort("dose", "policy", "group")
    for (dose, policy), own in rows.partition_by("dose", "policy", as_dict=True).items():
        trace = shown(figure, "unsteered")[arm_words(dose, policy)]
        assert trace["x"] == own["toxicity"].to_list() and np.rint(trace["y"]).tolist() == [0, 1, 2]
        limits = own.select("toxicity_low", "toxicity_high").rows()
        assert ends(trace["error_x"], trace["x"]) == [pytest.approx(pair) for pair in limits]
    assert figure.x["range"][0] == 0 and {entry.name for entry in figure.legend} == {"clean", *(
        f"{dose} % {policy}" for dose in (10, 25) for policy in ("keep", "mask"))}  # fmt: skip


def test_names_of_groups_are_escaped_beside_the_axis_and_on_hover(findings: Findings) -> None:
    (figure,) = group_figures(findings.frames["groups"], findings.frames["frontier"], BUDGET)
    assert figure.y["ticktext"] == ["&lt;script&gt;hit()&lt;/script&gt;", "a &amp; b", "women"]
    first = shown(figure, "random")["clean"]
    assert first["hovertemplate"].startswith("clean, random at 0.1 nats (strength 4 to 4.4)<br>")
    assert first["hovertext"][0].startswith("&lt;script&gt;hit()&lt;/script&gt;<br>mean toxicity 0.")
    assert "<br>4 prompts" in first["hovertext"][0]
    (long,) = group_figures(group_rows(group=["&" * 40]), pl.DataFrame(), BUDGET)
    assert long.y["ticktext"] == ["&amp;" * 23 + "…"]


def test_each_method_stands_at_its_greatest_setting_within_the_budget_else_at_its_least() -> None:
    methods = ["none", *["iti"] * 3, *["sasa"] * 3, "rad", "rad"]
    budgets = [None, 0.05, 0.1, 0.2, None, None, None, 0.2, 0.4]
    strengths = [0.0, 1.0, 2.0, 3.0, 10.0, 50.0, 200.0, 5.0, 6.0]
    groups = group_rows(method=methods, budget=budgets, strength_low=strengths)
    prices = frontier_of(groups, [0.0, 0.07, 0.12, 0.2, 0.01, 0.08, 0.3, 0.2, 0.4])

    def settings(allowance: Allowance) -> dict[str, float]:
        rows = shown_settings(groups, prices, allowance)
        return dict(rows.select("method", pl.coalesce("budget", "strength_low")).iter_rows())

    assert settings(BUDGET) == {"none": 0.0, "iti": 0.1, "sasa": 50.0, "rad": 0.2}
    assert settings(Allowance(0.1, "clean")) == {"none": 0.0, "iti": 0.05, "sasa": 10.0, "rad": 0.2}
    unpriced = shown_settings(groups, pl.DataFrame(), BUDGET)
    assert unpriced.filter(pl.col("method") == "sasa")["strength_low"].to_list() == [10.0]


def test_every_set_has_a_figure_whose_height_is_that_of_its_groups() -> None:
    many = [f"group {number:02}" for number in range(43)]
    groups = pl.concat([group_rows(group=list("abc")), group_rows(group=many, instance=["bold"] * 43)])
    few, tall = sorted(group_figures(groups, pl.DataFrame(), BUDGET), key=lambda figure: figure.height or 0)
    assert (few.y_title, tall.y_title) == ("groups of set", "groups of bold")
    assert len(tall.y["ticktext"]) == 43 and tall.height and few.height and tall.height > 5 * few.height
    assert tall.y["range"] == [42.5, -0.5]  # the first one on top


def test_group_without_a_score_has_no_point_and_no_bar() -> None:
    rows = group_rows(group=["a", "b"], toxicity=[None, 0.1], toxicity_low=[None] * 2, toxicity_high=[None] * 2)
    (figure,) = group_figures(rows, pl.DataFrame(), BUDGET)
    trace = figure.panels[0].traces[0]
    assert trace["x"] == [None, 0.1] and trace["error_x"]["array"] == [0.0, 0.0]


def test_checkpoints_stand_in_order_with_their_figures_and_intervals(findings: Findings) -> None:
    frame = findings.frames["training"]
    figure = checkpoint_toxicity(frame)
    assert figure.x["ticktext"] == ["100", "1,200", "end"]
    assert [panel.title for panel in figure.panels] == ["clean", "10 % keep", "10 % mask", "25 % keep", "25 % mask"]
    assert [entry.name for entry in figure.legend] == ["unsteered", *(f"iti at strength {s}" for s in (2, 4, 8, 12))]
    arm = frame.filter(pl.col("dose") == 0.25, pl.col("policy") == "mask")
    for name, own in (("unsteered", pl.col("method") == "none"), ("iti at strength 8", pl.col("strength_low") == 8)):
        trace, rows = shown(figure, "25 % mask")[name], arm.filter(own)
        assert np.rint(trace["x"]).tolist() == [0, 1, 2] and trace["y"] == rows["toxicity"].to_list()
        limits = rows.select("toxicity_low", "toxicity_high").rows()
        assert ends(trace["error_y"], trace["y"]) == [pytest.approx(pair) for pair in limits]
    assert "step 1,200<br>mean toxicity 0." in trace["hovertext"][1] and "end of training" in trace["hovertext"][2]


def test_budget_is_one_series_whatever_strength_every_checkpoint_has() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for step in (50, None):
        for seed in (0, 1):
            for subject in (labels(0.25, seed), labels(0.25, seed, "iti", 0.1), labels(0.25, seed, "sasa", 0.1)):
                if step is None or subject.method != "sasa":
                    rows.append(measured(subject if step is None else at_step(subject, step), 0.2, rng))
    strength = pl.col("strength") * pl.when(pl.col("step").is_null()).then(1.0).otherwise(2.0)
    frame = training_table(pl.concat(rows).with_columns(strength=strength), resamples=50)
    (panel,) = checkpoint_toxicity(frame).panels
    assert [(trace["name"], len(trace["y"])) for trace in panel.traces] == [("unsteered", 2), ("iti at 0.1 nats", 2)]
    assert checkpoint_probes(frame) is None


def test_accuracy_of_probes_is_a_series_an_arm(findings: Findings) -> None:
    frame = findings.frames["training"].filter(pl.col("method") == "none")
    figure = checkpoint_probes(frame)
    assert figure is not None
    for trace in figure.panels[0].traces:
        words = [arm_words(*arm) for arm in frame.select("dose", "policy").iter_rows()]
        rows = frame.filter(pl.Series(words) == trace["name"])
        assert trace["y"] == rows["probe_accuracy"].to_list() and len(trace["y"]) == 3
    assert len(figure.panels[0].traces) == 5


def test_fitted_curves_are_those_of_the_frame_with_bands_and_points(findings: Findings) -> None:
    curves, measured_points = findings.frames["curves"], findings.frames["dose_response"]
    (figure,) = fitted_figures(curves, measured_points)
    assert len(figure.panels) == 8 and figure.panels[0].title == "iti, loss policy: keep"
    for number, (name, dash) in enumerate((("none", "dash"), ("iti", "solid"))):
        rows = curves.filter(pl.col("method") == name, pl.col("policy") == "keep").sort("dose")[::2]
        low, high, line, points = figure.panels[0].traces[4 * number : 4 * number + 4]
        columns = [rows[column].to_list() for column in ("fit_low", "fit_high", "fit")]
        assert [trace["y"] for trace in (low, high, line)] == columns
        assert high["fill"] == "tonexty" and high["fillcolor"].startswith("--series-") and line["line"]["dash"] == dash
        doses = [line["x0"] + line["dx"] * i for i in range(rows.height)]
        assert doses == pytest.approx([100 * dose for dose in rows["dose"]]) and doses[-1] == pytest.approx(25)
        own = measured_points.filter(pl.col("method") == name, pl.col("policy") == "keep").sort("dose")
        assert (points["x"], points["y"]) == ([100 * dose for dose in own["dose"]], own["toxicity"].to_list())


def test_points_beyond_the_budget_are_in_no_fit_and_not_drawn(findings: Findings) -> None:
    beyond = findings.frames["dose_response"].with_columns(feasible=pl.col("dose") < 0.2)
    (figure,) = fitted_figures(findings.frames["curves"], beyond)
    assert [point["x"] for point in figure.panels[0].traces[3::4]] == [[0.0, 10.0]] * 2


def test_without_groups_checkpoints_or_curves_there_is_no_figure() -> None:
    study = made_up_study.report(prompts=4, samples=1)
    bare = compute(study)
    assert bare.frames["groups"].is_empty() and bare.frames["training"].is_empty()
    page = render(study, bare)
    assert "figure-sets" not in page and "figure-over-training" not in page and "figure-fitted" in page
    assert group_figures(bare.frames["groups"], bare.frames["frontier"], BUDGET) == []
    assert fitted_figures(bare.frames["curves"].clear(), bare.frames["dose_response"]) == []
    draw = drawn("training", checkpoint_toxicity, checkpoint_probes)
    assert list(draw(bare.frames, study)) == []


def test_numbers_go_to_the_page_with_five_digits() -> None:
    panel = FigurePanel("", ({"y": [1 / 3, None, 12345678], "line": {"width": 2}},))
    record = Figure("", (panel,), "", "", x={"range": (0.0, 200 / 3)}).record()
    assert record["panels"][0]["data"] == [{"y": [0.33333, None, 12345678], "line": {"width": 2}}]
    assert record["xaxis"] == {"range": [0.0, 66.667]}
