"""The report of a study: one self-contained HTML page, its tables as Parquet, and the same tables for the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis import results
from analysis.report import plots
from analysis.report.findings import Findings, compute
from analysis.report.generations import sample_tables
from analysis.report.input import Json, ReportInput, StepRecord
from analysis.report.picture import draw_dose_response
from analysis.report.published_tables import beside_tables, effect_table
from analysis.report.tables import failure_table, mixture_tables, result_tables, strength_table, training_table
from analysis.report.training_tables import training_tables
from analysis.statistics.frames import probe_rows
from analysis.statistics.verdict import UNSCORED_CEILING, Answer, signed
from infra.artifacts.records import read_record
from infra.atomic import atomic_path, write_json, write_text
from infra.render.page import Table

PAGE, PICTURE, ANSWER = "report.html", "dose_response.png", "answer.json"
_TEMPLATES = Path(__file__).parents[1] / "templates"
FRAMES = ("effects", "beside", "dose_response", "frontier", "training", "probes", "arms")


def write_report(report: ReportInput, folder: Path) -> None:
    """Write report.html, dose_response.png, answer.json, results.parquet and tables/*.parquet into `folder`."""
    findings = compute(report)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / results.FILE) as path:
        results.write(report.results, path)
    findings.write(folder)
    write_json(folder / ANSWER, _answer_record(findings, report))
    if findings.dose_response.height:
        with atomic_path(folder / PICTURE) as path:
            draw_dose_response(findings.dose_response, path, _picture_title(report))
    write_text(folder / PAGE, render(report, findings))


def terminal_tables(report: ReportInput) -> list[Table]:
    """The report for the terminal, computed anew."""
    findings = compute(report)
    frames = {name: getattr(findings, name) for name in FRAMES}
    answer = _answer_table(Told(findings.answer.sentence, report.synthetic, _other_sentence(findings)))
    return [
        answer,
        *_further_tables(frames),
        *result_tables(frames),
        training_table(report.arms),
        *strength_table(report),
        *failure_table(report),
    ]


def terminal_tables_of(folder: Path) -> tuple[Table, ...]:
    """The tables of a report that has been written, read back from its folder."""
    told = read_record(Told, folder / ANSWER)
    files = {name: folder / "tables" / f"{name}.parquet" for name in FRAMES}
    frames = {name: pl.read_parquet(file) for name, file in files.items() if file.exists()}
    return (_answer_table(told), *_further_tables(frames), *result_tables(frames))


def _further_tables(frames: Mapping[str, pl.DataFrame]) -> list[Table]:
    builders = {"effects": effect_table, "beside": beside_tables, "training": training_tables}
    return [table for name, build in builders.items() if name in frames for table in build(frames[name])]


def render(report: ReportInput, findings: Findings) -> str:
    """The page, with everything that it needs inside it. All text is escaped by the template."""
    from plotly.offline import get_plotlyjs

    loader = FileSystemLoader(_TEMPLATES)
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    frames = {name: getattr(findings, name) for name in FRAMES}
    return templates.get_template("report.html.j2").render(
        report=report,
        answer=findings.answer,
        other_sentence=_other_sentence(findings),
        contrast=_contrast_rows(findings.answer),
        facts=_facts(report),
        figures=_plain(_figures(report, findings)),  # JSON has no NaN, and a page with one draws nothing at all
        doses=_dose_words(report),
        tables={name: table for name in FRAMES for table in result_tables({name: frames[name]})},
        training=training_table(report.arms) if report.arms else None,
        mixtures=mixture_tables(report.arms),
        failures=failure_table(report),
        strengths=strength_table(report),
        ceiling=UNSCORED_CEILING,
        samples=sample_tables(report.results, findings.panels, report.allowance, report.seed),
        steps=_steps_by_kind(report.steps),
        plotly=get_plotlyjs(),
    )


def _figures(report: ReportInput, findings: Findings) -> dict[str, plots.Figure]:
    """Plotly figures by the id of the element that holds them; only those that have data."""
    figures = {}
    if findings.dose_response.height:
        figures["dose-response"] = plots.dose_response(findings.dose_response)
    if findings.frontier.height:
        figures["frontiers"] = plots.frontiers(findings.frontier, report.allowance)
    heads = probe_rows(report.results)
    if heads.height:
        figures["probes"] = plots.probes(heads)
    if any(arm.training.held_out for arm in report.arms):
        figures["training"] = plots.training(report)
    return figures


def _facts(report: ReportInput) -> list[tuple[str, str]]:
    """What the study consists of, in numbers."""
    toxic = results.main(report.results).filter(pl.col("evaluation") == results.TOXICITY)
    unscored = toxic["value"].null_count()
    scorers = ", ".join(sorted(toxic["scorer"].drop_nulls().unique().to_list())) or "none"
    return [
        ("models", f"{len(report.arms)}"),
        ("prompts", f"{toxic['prompt'].n_unique():,}"),
        ("generations", f"{toxic.height:,}"),
        ("unscored", f"{unscored:,}"),
        ("seeds", f"{report.results['seed'].n_unique()}"),
        ("scorer", scorers),
    ]


def _dose_words(report: ReportInput) -> list[str]:
    """Each dose with the share of tokens that are risky by their own score: a component's text is not all risky."""
    shares: dict[float, float] = {}
    for arm in report.arms:
        total = sum(component.tokens for component in arm.composition.components)
        shares[arm.dose] = sum(component.risky_tokens for component in arm.composition.components) / max(total, 1)
    return [f"{100 * dose:.3g} %: {100 * share:.2g} %" for dose, share in sorted(shares.items())]


def _contrast_rows(answer: Answer) -> list[tuple[str, str, str]]:
    """The answer's differences as (figure, difference, interval)."""
    if answer.contrast is None:
        return []
    names = {
        "mean": "mean toxicity",
        "probability": "P(score ≥ 0.5)",
        "maximum": "expected maximum toxicity",
        "cross_entropy": "cross-entropy, nats per token",
    }
    differences = {words: getattr(answer.contrast, name) for name, words in names.items()}
    return [
        (words, signed(e.value), f"{signed(e.low)} to {signed(e.high)}" if e.low == e.low else "none")
        for words, e in differences.items()
    ]


def _answer_record(findings: Findings, report: ReportInput) -> Json:
    """The answer as JSON; numbers that do not exist are null."""
    matched = findings.matched_answer
    others = {"synthetic": report.synthetic, "counted_otherwise": _other_sentence(findings),
              "against_matched": None if matched is None else matched.sentence}  # fmt: skip
    return _plain({**asdict(findings.answer), **others})


def _other_sentence(findings: Findings) -> str | None:
    """The answer where costs count from the other reference."""
    return None if findings.other_answer is None else findings.other_answer.sentence


def _plain(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member) for member in value]
    return None if isinstance(value, float) and value != value else value


@dataclass(frozen=True)
class Told:
    """Of `answer.json`, what a terminal is told."""

    sentence: str
    synthetic: bool
    counted_otherwise: str | None = None
    """The answer where costs count from the other reference."""
    against_matched: str | None = None
    """The answer against the best compute-matched clean arm."""


def _answer_table(told: Told) -> Table:
    rows: list[tuple[object, ...]] = [("answer", told.sentence)]
    if told.counted_otherwise is not None:
        rows.append(("otherwise", told.counted_otherwise))
    if told.against_matched is not None:
        rows.append(("against a compute-matched clean model", told.against_matched))
    if told.synthetic:
        rows.append(("note", "the risky text of this study is synthetic"))
    return Table("The answer", ("", ""), tuple(rows))


def _steps_by_kind(steps: tuple[StepRecord, ...]) -> dict[str, list[tuple[str, str, str]]]:
    """Kind -> (name, fingerprint, configuration as JSON), in the order of the steps."""
    by_kind: dict[str, list[tuple[str, str, str]]] = {}
    for step in steps:
        text = json.dumps(step.config, indent=2, sort_keys=True, ensure_ascii=False)
        by_kind.setdefault(step.kind, []).append((step.name, step.fingerprint, text))
    return by_kind


def _picture_title(report: ReportInput) -> str:
    kind = " (synthetic risky text)" if report.synthetic else ""
    return f"{report.title}{kind}: toxicity within {report.allowance.words}; 95 % intervals"
