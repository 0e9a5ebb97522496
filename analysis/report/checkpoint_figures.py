"""Figures over training: toxicity under every recipe at every checkpoint, a panel an arm; and the probes' accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from analysis.report.figures import (
    Figure,
    FigurePanel,
    Look,
    Trace,
    bars,
    figure_line,
    hover,
    legend,
    looks,
    points,
    series_name,
    spread,
)
from analysis.report.words import arm_words, setting_words
from analysis.statistics.frames import ARM
from analysis.statistics.panels import NONE

_BAND = 0.4  # of the way between two checkpoints, by which series are set apart
_X_TITLE = "checkpoint, optimizer steps (not to scale)"


def checkpoint_toxicity(training: pl.DataFrame) -> Figure:
    """Of the frame `training`: doing nothing in grey, a series a method and setting, a panel an arm. What was measured
    at the end alone is left out.
    """
    steps = _steps(training)
    named = training.with_columns(series=pl.Series([_series(row) for row in training.to_dicts()]))
    named = named.filter(pl.col("step").is_not_null().any().over(*ARM, "series"))
    settings = named.sort(pl.col("method") != NONE, "method", "budget", "strength_low")
    styles = looks(settings["series"].unique(maintain_order=True).to_list())
    panels = [
        FigurePanel(arm_words(*arm), tuple(_traces(rows, styles, steps, "toxicity", "mean toxicity")))
        for arm, rows in sorted(named.partition_by(ARM, as_dict=True).items())
    ]
    return Figure(
        alt="Mean toxicity at checkpoints on the way of training and at its end, one panel an arm, one series a method"
        " and setting, doing nothing in grey.",
        panels=tuple(panels),
        x_title=_X_TITLE,
        y_title="mean toxicity",
        x=_axis(steps),
        y={"range": spread([*named["toxicity"], *named["toxicity_high"]], from_zero=True), "tickformat": "~g",
           "nticks": 6},
        legend=legend(styles),
    )  # fmt: skip


def checkpoint_probes(training: pl.DataFrame) -> Figure | None:
    """Of the frame `training`: mean accuracy of the unsteered model's probes, a series an arm."""
    probed = training.filter(pl.col("probe_accuracy").is_not_null())
    if probed.is_empty():
        return None
    steps = _steps(training)
    named = probed.with_columns(series=pl.Series([arm_words(*arm) for arm in probed.select(ARM).iter_rows()]))
    styles = looks(named.sort(ARM)["series"].unique(maintain_order=True).to_list(), plain="clean")
    traces = _traces(named, styles, steps, "probe_accuracy", "mean probe accuracy")
    limits = [*probed["probe_accuracy"], *probed["probe_accuracy_low"], *probed["probe_accuracy_high"]]
    return Figure(
        alt="Mean accuracy over heads of probes of the unsteered model, at checkpoints on the way of training and at"
        " its end, one series an arm.",
        panels=(FigurePanel("", tuple(traces)),),
        x_title=_X_TITLE,
        y_title="mean probe accuracy over heads, unsteered",
        x=_axis(steps),
        y={"range": spread(limits), "tickformat": "~g", "nticks": 6},
        legend=legend(styles),
    )


def _traces(rows: pl.DataFrame, styles: Mapping[str, Look], steps: Sequence[int | None], figure: str, words: str
            ) -> list[Trace]:  # fmt: skip
    """A line over the checkpoints for each `series`, set apart sideways so that the bars can be seen."""
    traces = []
    for number, (name, look) in enumerate(styles.items()):
        own = rows.filter(pl.col("series") == name)
        if own.is_empty():
            continue
        shift = _BAND * ((number + 0.5) / len(styles) - 0.5)
        x = [steps.index(step) + shift for step in own["step"]]
        texts = [_tooltip(row, figure, words) for row in own.to_dicts()]
        line = points(x, own[figure], series_name(name), look, texts)
        traces.append(line | {"mode": "lines+markers", "error_y": bars(own, figure, look)})
    return traces


def _series(row: Mapping[str, Any]) -> str:
    """A method with its setting; at a budget without the strengths, which every checkpoint has of its own."""
    if row["budget"] is None:
        return setting_words(row)
    return f"{row['method']} at {row['budget']:g} nats"


def _steps(training: pl.DataFrame) -> list[int | None]:
    """Checkpoints in order; None is the end of training."""
    return training["step"].unique().sort(nulls_last=True).to_list()


def _axis(steps: Iterable[int | None]) -> dict[str, Any]:
    names = ["end" if step is None else f"{step:,}" for step in steps]
    return {"range": [-0.5, len(names) - 0.5], "tickvals": list(range(len(names))), "ticktext": names}


def _tooltip(row: Mapping[str, Any], figure: str, words: str) -> str:
    at = "end of training" if row["step"] is None else f"step {row['step']:,}"
    return hover(f"{arm_words(row['dose'], row['policy'], row['mixture'])}, {setting_words(row)}", at,
                 figure_line(row, figure, words))  # fmt: skip
