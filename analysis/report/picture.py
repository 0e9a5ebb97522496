"""A still picture of the dose-response curve, for a README or a slide."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from analysis.report.plots import method_colours, methods_of

_SPREAD = 0.3  # points of dose by which methods are set apart


def draw_dose_response(table: pl.DataFrame, path: Path, title: str) -> None:
    """Write a PNG: a panel for each loss policy, a line with intervals for each method. Same table, same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    policies, methods = sorted(table["policy"].unique().to_list()), methods_of(table)
    colours = method_colours(methods)
    figure, axes = pyplot.subplots(
        1, len(policies), figsize=(1 + 4.2 * len(policies), 4.2), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, policy in zip(axes[0], policies, strict=True):
        for position, method in enumerate(methods):
            rows = table.filter(pl.col("policy") == policy, pl.col("method") == method).sort("dose")
            shift = _SPREAD * (position - (len(methods) - 1) / 2)
            x = [100 * dose + shift for dose in rows["dose"]]
            low = (rows["toxicity"] - rows["toxicity_low"]).fill_null(0.0).to_list()
            high = (rows["toxicity_high"] - rows["toxicity"]).fill_null(0.0).to_list()
            style = {"marker": "o", "markersize": 5, "capsize": 3, "linewidth": 1.8, "elinewidth": 1.2}
            axis.errorbar(x, rows["toxicity"], yerr=[low, high], label=method, color=colours[method], **style)
        axis.set_title(f"loss policy: {policy}", fontsize=11, loc="left")
        axis.set_xlabel("dose: risky component, % of all tokens")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("mean toxicity within the budget")
    axes[0][-1].legend(frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=12, x=0.01, ha="left")
    # No "Software": it holds matplotlib's version, and the same table is to give the same bytes.
    figure.savefig(path, dpi=150, metadata={"Software": None}, format="png")
    pyplot.close(figure)
