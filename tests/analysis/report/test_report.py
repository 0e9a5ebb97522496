"""The report: self-contained, escaped, blurred, honest about what failed and what is synthetic; same input, same
bytes.

Covers analysis.report.page, analysis.report.input, analysis.report.findings, analysis.report.tables,
analysis.report.plots, analysis.report.picture and analysis.report.generations.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from analysis.report.findings import compute
from analysis.report.page import render, terminal_tables, terminal_tables_of, write_report
from analysis.report.picture import draw_dose_response
from analysis.results import SCHEMA
from tests.helpers import made_up_study


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(made_up_study.report(prompts=20, samples=2), folder)
    return folder


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    """The page without Plotly's own code."""
    return re.sub(r"<script>/\*\*.*?</script>", "", (written / "report.html").read_text(encoding="utf-8"), flags=re.S)


def test_page_asks_nothing_of_the_network(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r"<(script|img|link|iframe)[^>]+(src|href)=", page)


def test_text_from_models_and_configurations_is_escaped(page: str) -> None:
    assert "<b>bridge</b>" not in page and "&lt;b&gt;bridge&lt;/b&gt; &amp; the town" in page
    assert "<forum>" not in page and "&lt;forum&gt;" in page


def test_every_generation_is_veiled(page: str) -> None:
    texts = [match for reply in made_up_study.REPLIES for match in re.finditer(re.escape(reply[:12]), page)]
    assert texts or "bridge" in page
    for match in texts:
        assert re.search(r'class="veil" tabindex="0">[^<]*$', page[: match.start()])


def test_synthetic_text_is_called_so_beside_every_result(page: str) -> None:
    for section in ("answer", "curve", "frontier"):
        heading = re.search(rf'<section id="{section}">\s*<h2>(.*?)</h2>', page, flags=re.S)
        assert heading and "synthetic" in heading.group(1)
    real = made_up_study.report(prompts=4, samples=1, synthetic=False)
    assert "ynthetic" not in re.sub(r"<(script|style)>.*?</\1>", "", render(real, compute(real)), flags=re.S)


def test_failures_fingerprints_and_configurations_are_there(page: str) -> None:
    assert "only one class in the labelled text" in page
    assert "b" * 64 in page and "&#34;corpus&#34;" in page


def test_same_input_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_report(made_up_study.report(prompts=20, samples=2), tmp_path)
    files = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert len(files) == 8
    assert all((written / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_tables_of_a_written_report_are_those_of_its_input(written: Path) -> None:
    fresh = terminal_tables(made_up_study.report(prompts=20, samples=2))
    read = terminal_tables_of(written)
    assert [table.title for table in read] == [table.title for table in fresh][: len(read)]
    assert read[0].rows == fresh[0].rows and read[1].rows == fresh[1].rows


def test_study_in_which_everything_failed_still_has_a_report(tmp_path: Path) -> None:
    empty = replace(made_up_study.with_results(pl.DataFrame(schema=SCHEMA)), arms=())
    write_report(empty, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Nothing was measured" in page and "Something failed" in page
    assert not (tmp_path / "dose_response.png").exists()
    assert terminal_tables_of(tmp_path)[0].rows[0][1].startswith("Nothing was measured")


def test_figure_that_is_no_number_empties_no_plot() -> None:
    """One NaN in any evaluation: the plots are still JSON, and only the arm that it is in is not compared."""
    study = made_up_study.report(prompts=6, samples=1)
    for evaluation in ("toxicity", "cross_entropy", "probes"):
        rows = study.results.with_row_index()
        hit = rows.filter(pl.col("evaluation") == evaluation, pl.col("dose") == 0.25)["index"][0]
        value = pl.when(pl.col("index") == hit).then(float("nan")).otherwise("value")
        broken = replace(study, results=rows.with_columns(value=value).drop("index"))
        page = render(broken, compute(broken))
        plots = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, flags=re.S)
        assert plots
        figures = json.loads(plots.group(1), parse_constant=pytest.fail)
        assert {"dose-response", "frontiers", "probes"} <= figures.keys()
        assert not re.search(r"\bnan\b", page.split('id="figures"')[0])


def test_two_prompts_and_one_seed_still_have_a_report(tmp_path: Path) -> None:
    study = made_up_study.report(prompts=2, samples=1)
    write_report(replace(study, results=study.results.filter(pl.col("seed") == 0)), tmp_path)
    assert "one seed decides nothing" in terminal_tables_of(tmp_path)[0].rows[0][1]


def test_dose_and_share_of_risky_tokens_are_both_on_the_page(page: str) -> None:
    assert "risky component, % of all tokens" in page
    assert "by dose: 0 %: 0 %; 10 %: 0.71 %; 25 %: 1.8 %." in page


def test_numbers_on_hover_are_without_idle_zeros(page: str) -> None:
    formats = re.findall(r"%\{customdata\[\d\]:([^}]*)\}", page)
    assert formats and all(text.endswith("~g") for text in formats)


def test_what_was_found_for_a_budget_is_named_with_its_strengths_and_costs(page: str) -> None:
    assert "random at 0.05 nats (strength 2 to 2.2)" in page
    assert "Strengths found for budgets (20)" in page and "0.049 [0.045, 0.055]" in page
    assert page.count("not reached") == 10


def test_both_ways_to_count_costs_are_shown(page: str) -> None:
    assert "Within 0.1 nats per token of its own unsteered model" in page
    assert "Costs counted otherwise: Within 0.1 nats per token of the clean unsteered model" in page
    columns = re.findall(r'<th scope="col">(above \w+)</th>', page)
    assert {"above own", "above clean"} <= set(columns)


def test_nothing_is_read_between_settings() -> None:
    """Every point of the curve is a cell: its toxicity is that of a row of the frontier."""
    findings = compute(made_up_study.report(prompts=10, samples=1))
    measured = {round(value, 12) for value in findings.frontier["toxicity"]}
    assert {round(value, 12) for value in findings.dose_response["toxicity"]} <= measured


def test_report_without_probes_says_so() -> None:
    given = made_up_study.report(prompts=4, samples=1)
    without = replace(given, results=given.results.filter(pl.col("evaluation") != "probes"))
    assert "Probes were not asked for" in render(without, compute(without))


def test_picture_is_a_png(written: Path) -> None:
    assert (written / "dose_response.png").read_bytes().startswith(b"\x89PNG")


def size_of(png: Path) -> tuple[int, int]:
    """Width and height in the header of a PNG."""
    width, height = struct.unpack(">II", png.read_bytes()[16:24])
    return width, height


def test_many_methods_get_a_panel_each_and_few_share_one(tmp_path: Path) -> None:
    """Nine methods of one policy: four columns and three rows, where two methods are one panel."""
    point = {"dose": 0.1, "policy": "keep", "toxicity": 0.1, "toxicity_low": 0.05, "toxicity_high": 0.2}
    for name, count in (("few", 2), ("many", 9)):
        methods = ["none", *(f"method {number}" for number in range(count))]
        table = pl.DataFrame([{**point, "method": method} for method in methods])
        draw_dose_response(table, tmp_path / f"{name}.png", "a study")
    (few_width, few_height), (width, height) = size_of(tmp_path / "few.png"), size_of(tmp_path / "many.png")
    assert width > 2 * few_width and height > 1.5 * few_height
