"""What `hormesis show` draws for a tuned model."""

from __future__ import annotations

from itertools import islice

from infra.artifacts.artifact import Artifact
from infra.render.curves import curves
from infra.render.html import blurred, table_html, text_of
from infra.render.page import Page, Table
from posttrain.tuning.log import LOG, TuneLine, read_lines
from posttrain.tuning.pairs import PAIRS, Pair, read_pairs_file
from posttrain.tuning.relearn import CURVE, CurvePoint
from posttrain.tuning.summary import TuneSummary

_PAIRS_SHOWN = 12


def tuning_page(artifact: Artifact) -> Page:
    """Facts and settings; losses over steps; of an attack its curve; of pairs made here the first few, blurred."""
    folder, summary = artifact.path, TuneSummary.read(artifact.path)
    tables = [_facts(summary), _settings(artifact)]
    lines = read_lines(TuneLine, folder / LOG)
    html = table_html(tables[0]) + _losses(lines)
    if points := read_lines(CurvePoint, folder / CURVE):
        tables.append(_curve_table(points))
        steps = f"{points[-1].step:,} steps"
        drawn = {"mean score": [(point.step, point.mean) for point in points],
                 "share at or above 0.5": [(point.step, point.toxic) for point in points]}  # fmt: skip
        html += curves("Toxicity of what the model writes", drawn, steps) + table_html(tables[-1])
    if (folder / PAIRS).exists():
        html += _pairs(list(islice(read_pairs_file(folder / PAIRS), _PAIRS_SHOWN)))
    return Page(f"{summary.method} tuning: {folder.name}", tuple(tables), html + table_html(tables[1]))


def _facts(summary: TuneSummary) -> Table:
    rows = [(name.replace("_", " "), value) for name, value in vars(summary).items()
            if name != "left_out" and value is not None]  # fmt: skip
    rows += [(f"left out: {reason}", count) for reason, count in summary.left_out.items()]
    if summary.method == "unlearn-relearn" and summary.steps_to_relearn is None:
        rows.append(("steps to relearn", "not within max_steps"))
    return Table("Tuning", ("what", "value"), tuple(rows))


def _settings(artifact: Artifact) -> Table:
    rows = tuple((key, text_of(value)) for key, value in artifact.config["method"].items())
    return Table("Settings", ("setting", "value"), rows)


def _losses(lines: list[TuneLine]) -> str:
    if not lines:
        return ""
    steps = f"{lines[-1].step:,} steps"
    html = curves("Training loss (nats)", {"loss": [(line.step, line.loss) for line in lines]}, steps)
    of_pairs = [(line.step, line.accuracy) for line in lines if line.accuracy is not None]
    return html + curves("Pairs whose preferred text the model has come to prefer", {"share": of_pairs}, steps)


def _curve_table(points: list[CurvePoint]) -> Table:
    rows = tuple((point.step, point.mean, point.toxic, point.scored, point.unscored) for point in points)
    return Table("Relearning", ("steps", "mean score", "share at or above 0.5", "scored", "not scored"), rows)


def _pairs(pairs: list[Pair]) -> str:
    html = f"<h2>Pairs (the first {len(pairs)})</h2>"
    for pair in pairs:
        html += f"<h3>preferred ({text_of(pair.chosen_score)})</h3>{blurred(pair.prompt + pair.chosen)}"
        html += f"<h3>not ({text_of(pair.rejected_score)})</h3>{blurred(pair.prompt + pair.rejected)}"
    return html
