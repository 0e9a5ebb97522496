"""The report of a study: one self-contained HTML page, and its tables for other programs, papers and the terminal."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import results
from analysis.report.dose_figures import Chosen, chosen_recipes, headline_figure
from analysis.report.exports import csv_of, read_frames, write_frames, write_texts
from analysis.report.figures import LIGHT, Figure
from analysis.report.findings import Findings, compute, shown_tables
from analysis.report.generations import sample_tables
from analysis.report.headline import comparison_table, contrast_table, headline
from analysis.report.input import Json, ReportInput, StepRecord
from analysis.report.picture import draw_dose_response
from analysis.report.plotly_script import packed_plotly
from analysis.report.section import Section
from analysis.report.sections import SECTIONS
from analysis.statistics.verdict import UNSCORED_CEILING
from infra.artifacts.records import read_record
from infra.atomic import atomic_path, write_json, write_text
from infra.render.html import text_of
from infra.render.page import Table

PAGE, PICTURE, ANSWER = "report.html", "dose_response.png", "answer.json"
HEADLINE = "headline"
_TEMPLATES = Path(__file__).parents[1] / "templates"
_MOST_CSV = 200_000  # characters of a table within the page; a longer one is linked beside it


@dataclass(frozen=True)
class ShownTables:
    """The tables of a frame on the page: folded or not, with its data as CSV."""

    name: str
    tables: tuple[Table, ...]
    folded: bool
    note: str
    csv: str
    """A link: the data itself, or where there are many the file beside the page."""

    @property
    def rows(self) -> int:
        """Of all of them."""
        return sum(len(table.rows) for table in self.tables)


@dataclass(frozen=True)
class Chapter:
    """A section as the page shows it."""

    name: str
    title: str
    how: str
    figures: Mapping[str, Figure]
    """By the name that the page's script knows it by."""
    tables: tuple[ShownTables, ...]


def write_report(report: ReportInput, folder: Path) -> None:
    """Write report.html, dose_response.png, answer.json, results.parquet, tables.md, tables.tex and tables/* into
    `folder`.
    """
    findings = compute(report)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / results.FILE) as path:
        results.write(report.results, path)
    write_frames(findings.frames, folder)
    write_json(folder / ANSWER, _answer_record(findings, report))
    write_texts(terminal_tables(report, findings), report.title, folder)
    picture = None
    if (curve := findings.frames["dose_response"]).height:
        with atomic_path(folder / PICTURE) as path:
            draw_dose_response(curve, path, _picture_title(report), _marks(findings))
        picture = (folder / PICTURE).read_bytes()
    write_text(folder / PAGE, render(report, findings, picture))


def terminal_tables(report: ReportInput, findings: Findings) -> list[Table]:
    """The report for the terminal."""
    told = Told(findings.answer.sentence, report.synthetic, _other_sentence(findings), _matched_sentence(findings))
    return [_answer_table(told), *shown_tables(findings.frames)]


def terminal_tables_of(folder: Path) -> tuple[Table, ...]:
    """The tables of a report that has been written, read back from its folder."""
    names = [computed.name for section in SECTIONS for computed in section.computed]
    return (_answer_table(read_record(Told, folder / ANSWER)), *shown_tables(read_frames(folder, names)))


def render(report: ReportInput, findings: Findings, picture: bytes | None = None) -> str:
    """The page, with everything that it needs inside it. All text is escaped by the template. `picture` is the curve
    as a PNG, for a browser that draws none.
    """
    loader = FileSystemLoader(_TEMPLATES)
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":")}
    chapters = [chapter for section in SECTIONS if (chapter := _chapter(section, report, findings)) is not None]
    first = _headline_figure(findings)
    figures = {} if first is None else {HEADLINE: first}
    figures |= {name: figure for chapter in chapters for name, figure in chapter.figures.items()}
    records = {name: figure.record() for name, figure in figures.items()}
    return templates.get_template("report.html.j2").render(
        report=report,
        answer=findings.answer,
        headline=headline(findings.answer, findings.panels),
        other_sentence=_other_sentence(findings),
        matched_sentence=_matched_sentence(findings),
        contrasts=[table for build in (contrast_table, comparison_table) if (table := build(findings.answer))],
        first=first,
        picture=None if picture is None else _data_link("image/png", picture),
        facts=_facts(report),
        chapters=chapters,
        figures=_plain(records),  # JSON has no NaN, and a page with one draws nothing at all
        ceiling=UNSCORED_CEILING,
        samples=sample_tables(report.results, findings.panels, report.allowance, report.seed),
        steps=_steps_by_kind(report.steps),
        series=range(len(LIGHT)),
        text_of=text_of,
        numeric=_numeric,
        plotly=Markup(packed_plotly()),  # base64 has no character that HTML reads  # noqa: S704
    )


def _chapter(section: Section, report: ReportInput, findings: Findings) -> Chapter | None:
    """A section with what it shows; None where nothing of it was measured and nothing is to be said of that."""
    shown = []
    for computed in section.computed:
        frame = findings.frames[computed.name]
        if frame.height and (built := tuple(computed.tables(frame))):
            link = _csv_link(computed.name, frame)
            shown.append(ShownTables(computed.name, built, computed.folded, computed.note, link))
    drawn = section.figures(findings.frames, report)
    if not shown and not drawn:
        return Chapter(section.name, section.title, section.absent, {}, ()) if section.absent else None
    names = [section.name, *(f"{section.name}-figure-{number}" for number in range(2, len(drawn) + 1))]
    figures = dict(zip(names, drawn, strict=False))  # one name is left where nothing is drawn
    how = section.how.format(allowance=report.allowance.words, doses="; ".join(_dose_words(report)) or "not known")
    return Chapter(section.name, section.title, how, figures, tuple(shown))


def _numeric(table: Table) -> set[int]:
    """Columns that hold numbers only."""
    columns = enumerate(zip(*table.rows, strict=True))
    return {i for i, cells in columns if all(cell is None or isinstance(cell, (int, float)) for cell in cells)}


def _csv_link(name: str, frame: pl.DataFrame) -> str:
    text = csv_of(frame)
    return f"tables/{name}.csv" if len(text) > _MOST_CSV else _data_link("text/csv", text.encode())


def _data_link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _headline_figure(findings: Findings) -> Figure | None:
    curve = findings.frames["dose_response"]
    return headline_figure(curve, _marks(findings)) if curve.height else None


def _marks(findings: Findings) -> list[Chosen]:
    return chosen_recipes(findings.answer, findings.frames["frontier"], findings.panels.cells)


def _facts(report: ReportInput) -> list[tuple[str, str]]:
    """What the study consists of, in numbers."""
    toxic = results.main(report.results).filter(pl.col("evaluation") == results.TOXICITY)
    scorers = ", ".join(sorted(toxic["scorer"].drop_nulls().unique().to_list())) or "none"
    analyses = sum(step.kind == "analysis" for step in report.steps)
    cut = max((step.counts.get("prompts_cut", 0) for step in report.steps), default=0)
    return [
        ("models", f"{len(report.arms)}"),
        ("seeds", f"{report.results['seed'].n_unique()}"),
        ("prompts", f"{toxic['prompt'].n_unique():,}"),
        ("generations", f"{toxic.height:,}"),
        ("unscored", f"{toxic['value'].null_count():,}"),
        *([("prompts cut", f"{cut:,}")] if analyses else []),
        ("scorer", scorers),
    ]


def _dose_words(report: ReportInput) -> list[str]:
    """Each dose with the share of tokens that are risky by their own score: a component's text is not all risky."""
    shares: dict[float, float] = {}
    for arm in report.arms:
        total = sum(component.tokens for component in arm.composition.components)
        shares[arm.dose] = sum(component.risky_tokens for component in arm.composition.components) / max(total, 1)
    return [f"{100 * dose:.3g} %: {100 * share:.2g} %" for dose, share in sorted(shares.items())]


def _answer_record(findings: Findings, report: ReportInput) -> Json:
    """The answer as JSON; numbers that do not exist are null."""
    others = {
        "synthetic": report.synthetic,
        "counted_otherwise": _other_sentence(findings),
        "against_matched": _matched_sentence(findings),
    }
    return _plain({**asdict(findings.answer), **others})


def _other_sentence(findings: Findings) -> str | None:
    """The answer where costs count from the other reference."""
    return None if findings.other_answer is None else findings.other_answer.sentence


def _matched_sentence(findings: Findings) -> str | None:
    """The answer against the best compute-matched clean arm, where there is one."""
    return None if findings.matched_answer is None else findings.matched_answer.sentence


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
