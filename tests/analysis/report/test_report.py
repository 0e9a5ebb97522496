"""The report: self-contained, escaped, veiled, honest about what failed and what is synthetic; same input, same bytes.

Covers analysis.report.page, analysis.report.input, analysis.report.findings, analysis.report.section,
analysis.report.sections,
analysis.report.tables, analysis.report.frames, analysis.report.figures, analysis.report.dose_figures,
analysis.report.frontier_figure, analysis.report.model_figures, analysis.report.headline, analysis.report.words,
analysis.report.plotly_script, analysis.report.picture and analysis.report.generations.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from plotly.offline import get_plotlyjs

from analysis.report import frames
from analysis.report.findings import compute
from analysis.report.page import render, terminal_tables, terminal_tables_of, write_report
from analysis.report.picture import draw_dose_response
from analysis.results import SCHEMA, Labels, Row, frame
from tests.helpers import made_up_study


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(made_up_study.report(prompts=20, samples=2), folder)
    return folder


@pytest.fixture(scope="module")
def page(written: Path) -> str:
    """The page without Plotly's own code and without what its links hold."""
    text = (written / "report.html").read_text(encoding="utf-8")
    text = re.sub(r'(<script type="application/gzip"[^>]*>).*?</script>', r"\1</script>", text, flags=re.S)
    return re.sub(r'"data:[^"]*"', '"data:"', text)


def test_page_asks_nothing_of_the_network(page: str) -> None:
    assert "default-src 'none'" in page
    assert not re.search(r'<(script|img|link|iframe)[^>]+(src|href)="(?!data:)', page)


def test_text_from_models_and_configurations_is_escaped(page: str) -> None:
    assert "<b>bridge</b>" not in page and "&lt;b&gt;bridge&lt;/b&gt; &amp; the town" in page
    assert "<forum>" not in page and "&lt;forum&gt;" in page


def test_every_prompt_and_generation_is_folded(page: str) -> None:
    """In a `details` that is closed: neither seen nor read aloud before it is asked for."""
    starts = [text[:12] for text in (*made_up_study.REPLIES, "The man at the corner")]
    texts = [match for start in starts for match in re.finditer(re.escape(start), page)]
    assert len(texts) > 20
    for match in texts:
        assert re.search(
            r'<details class="veil( prompt)?"><summary(?:(?!</details>).)*<p>$', page[: match.start()], re.S
        )


def test_hovers_and_alternative_texts_hold_no_text_of_models(page: str) -> None:
    figures = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, flags=re.S)
    assert figures
    quoted = [figures.group(1), *re.findall(r'(?:aria-label|alt|title)="([^"]*)"', page)]
    assert not any("idiot" in text or "committee" in text or "corner" in text for text in quoted)


def test_synthetic_text_is_called_so_beside_every_result(page: str) -> None:
    for section in ("answer", "curve", "frontier"):
        start = page.index(f'<section id="{section}"')
        assert "synthetic risky text" in page[start : start + 700]
    real = made_up_study.report(prompts=4, samples=1, synthetic=False)
    assert "ynthetic" not in re.sub(r"<(script|style)>.*?</\1>", "", render(real, compute(real)), flags=re.S)


def test_failures_fingerprints_and_configurations_are_there(page: str) -> None:
    assert "only one class in the labelled text" in page
    assert "b" * 64 in page and "&#34;corpus&#34;" in page


def test_same_input_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_report(made_up_study.report(prompts=20, samples=2), tmp_path)
    files = sorted(path.relative_to(written) for path in written.rglob("*") if path.is_file())
    assert len(files) >= 28  # a page, texts and two files a table
    assert all((written / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_tables_of_a_written_report_are_those_of_its_input(written: Path) -> None:
    study = made_up_study.report(prompts=20, samples=2)
    fresh = terminal_tables(study, compute(study))
    read = terminal_tables_of(written)
    assert list(read) == fresh and len(read) > 8


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
        figures = figures_of(page)
        assert {"headline", "curve", "frontier", "heads"} <= figures.keys()
        assert not re.search(r"\bnan\b", page.split('id="figures"')[0])


def test_two_prompts_and_one_seed_still_have_a_report(tmp_path: Path) -> None:
    study = made_up_study.report(prompts=2, samples=1)
    write_report(replace(study, results=study.results.filter(pl.col("seed") == 0)), tmp_path)
    assert "one seed decides nothing" in terminal_tables_of(tmp_path)[0].rows[0][1]


def test_dose_and_share_of_risky_tokens_are_both_on_the_page(page: str) -> None:
    assert "risky component, % of all tokens" in page
    assert "by dose: 0 %: 0 %; 10 %: 0.71 %; 25 %: 1.8 %." in page


def test_numbers_on_hover_are_those_of_the_tables(page: str) -> None:
    figures = figures_of(page)
    hovers = [text for figure in figures.values() for panel in figure["panels"] for trace in panel["data"]
              for text in trace.get("hovertext", [])]  # fmt: skip
    usual = re.compile(r"^10 % keep, iti at strength 8<br>mean toxicity 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]<br>above own 0")
    assert any(map(usual.search, hovers))
    assert not any(re.search(r"\d\.\d{4,}|25\.0", text) for text in hovers)


def test_panels_of_a_figure_share_their_axes_and_each_dose_has_one(page: str) -> None:
    figure = figures_of(page)["frontier"]
    assert len(figure["panels"]) == 5 and figure["xaxis"]["range"] and figure["yaxis"]["range"][0] == 0
    assert not any("error_y" in trace for panel in figure["panels"] for trace in panel["data"])


def figures_of(page: str) -> dict[str, Any]:
    """The figures in a page, as its script reads them."""
    text = re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, flags=re.S)
    assert text
    figures: dict[str, Any] = json.loads(text.group(1), parse_constant=pytest.fail)
    return figures


def test_what_was_found_for_a_budget_is_named_with_its_strengths_and_costs(page: str) -> None:
    assert "random at 0.05 nats (strength 2 to 2.2)" in page
    assert "Strengths found for budgets (20 rows)" in page and "0.049 [0.045, 0.055]" in page
    assert page.count("not reached") == 10


def test_both_ways_to_count_costs_are_shown(page: str) -> None:
    assert "Within 0.1 nats per token of its own unsteered model" in page
    assert "Costs counted otherwise: Within 0.1 nats per token of the clean unsteered model" in page
    columns = re.findall(r'<th scope="col"[^>]*>(above \w+)</th>', page)
    assert {"above own", "above clean"} <= set(columns)


def test_nothing_is_read_between_settings() -> None:
    """Every point of the curve is a cell: its toxicity is that of a row of the frontier."""
    findings = compute(made_up_study.report(prompts=10, samples=1))
    measured = {round(value, 12) for value in findings.frames["frontier"]["toxicity"]}
    assert {round(value, 12) for value in findings.frames["dose_response"]["toxicity"]} <= measured


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


def test_page_is_small_and_carries_plotly_whole(written: Path) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    packed = re.search(r'<script type="application/gzip" id="plotly">([^<]*)</script>', text)
    assert packed and len(text) < 3_000_000
    assert gzip.decompress(base64.b64decode(packed.group(1))).decode() == get_plotlyjs()


def test_first_screen_has_question_verdict_and_ringed_recipes(page: str) -> None:
    first = page[page.index('<section id="answer"') : page.index('<section id="details"')]
    assert "less toxic than the best one trained on clean text" in first and "95 % interval" in first
    panels = figures_of(page)["headline"]["panels"]
    rings = {trace["name"]: trace for panel in panels for trace in panel["data"] if trace["name"].endswith(" best")}
    assert set(rings) == {"clean best", "risky best"}
    points = [y for panel in panels for trace in panel["data"] if trace["name"] not in rings for y in trace["y"]]
    assert all(ring["y"][0] in points for ring in rings.values())


def test_cross_entropy_of_training_and_frontier_stand_beside_their_targets() -> None:
    table = compute(made_up_study.report(prompts=4, samples=1)).frames["held_out"]
    clean, risky = (table.filter(pl.col("component") == name) for name in ("clean", "risky"))
    assert clean["measured_documents"].to_list() == [30] * 10 and clean["measured_tokens"].to_list() == [3250] * 10
    assert risky["measured"].null_count() == risky.height
    rows = made_up_study.report(prompts=4, samples=1).results.filter(
        pl.col("evaluation") == "cross_entropy", pl.col("method") == "none", pl.col("arm") == "dose-0/keep/seed-0"
    )
    own = clean.filter(pl.col("dose") == 0, pl.col("seed") == 0)["measured"].item()
    assert own == pytest.approx((rows["value"] * rows["tokens"]).sum() / rows["tokens"].sum())


def test_every_strength_is_a_row_and_unscored_generations_are_counted() -> None:
    study = made_up_study.report(prompts=10, samples=2)
    frontier = compute(study).frames["frontier"]
    toxic = study.results.filter(pl.col("evaluation") == "toxicity")
    assert frontier.height == toxic.select("dose", "policy", "method", pl.coalesce("budget", "strength")).n_unique()
    assert frontier["unscored"].sum() == toxic["value"].null_count() > 0
    assert set(frontier.filter(pl.col("budget") == 0.05)["strengths"]) == {"2, 2.2"}


def test_capability_and_red_team_are_on_the_page_with_their_intervals() -> None:
    study = made_up_study.report(prompts=4, samples=1)
    labels = Labels("dose-0/keep/seed-0", 0.0, "keep", "dose-0", 0, "iti", 8.0)
    answers = [Row(prompt=i, prompt_id=f"piqa/{i}", value=float(i < 3), tokens=2) for i in range(4)]
    replies = [Row(prompt=0, sample=s, prompt_id="a", value=v, tokens=9) for s, v in enumerate((0.0, 1.0, None))]
    tables = [frame(labels, "capability", answers), frame(labels, "red_team", replies)]
    with_both = replace(study, results=pl.concat([study.results, *tables]))
    findings = compute(with_both)
    row = findings.frames["capability"].row(0, named=True)
    assert (row["mean"], row["items"]) == (0.75, 4) and row["mean_low"] < 0.75 < row["mean_high"] == 1.0
    page = render(with_both, findings)
    assert 'id="capability"' in page and "sought with steering inside" in page
    assert 'id="capability"' not in render(study, compute(study))


def test_costs_add_up_by_kind_of_step() -> None:
    study = made_up_study.report(prompts=4, samples=1)
    steps = [replace(study.steps[0], kind="pretrain", seconds=s) for s in (1800.0, 1800.0)]
    arms = [replace(arm, training=replace(arm.training, seconds=900.0, ranks=4, device="H200")) for arm in study.arms]
    row = frames.costs_frame(replace(study, steps=tuple(steps), arms=tuple(arms))).row(0, named=True)
    assert (row["steps"], row["hours"], row["gpu_hours"]) == (2, 1.0, 10.0)
