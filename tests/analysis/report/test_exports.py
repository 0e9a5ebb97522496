"""The report's numbers for other programs and for papers: frames as CSV, tables as Markdown and LaTeX.

Covers analysis.report.exports and infra.render.latex.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from analysis.report.exports import csv_of, read_frames, write_frames, write_texts
from analysis.report.findings import compute, shown_tables
from infra.render.latex import latex
from infra.render.page import Table
from tests.helpers import made_up_study


def test_csv_has_the_digits_of_the_parquet_file(tmp_path: Path) -> None:
    frames = compute(made_up_study.report(prompts=4, samples=1)).frames
    write_frames(frames, tmp_path)
    kept = [name for name, frame in frames.items() if frame.height]
    assert {"frontier", "arms", "held_out", "costs", "strengths"} <= set(kept)
    for name in kept:
        frame = pl.read_parquet(tmp_path / "tables" / f"{name}.parquet")
        assert pl.read_csv(tmp_path / "tables" / f"{name}.csv", schema=frame.schema).equals(frame)
    assert list(read_frames(tmp_path, kept)) == kept


def test_cell_that_a_spreadsheet_would_run_is_text() -> None:
    frame = pl.DataFrame({"method": ["=HYPERLINK(1)", "-x", "iti", None], "value": [-1.0, 2.0, 3.0, 4.0]})
    assert csv_of(frame).splitlines() == ["method,value", "'=HYPERLINK(1),-1.0", "'-x,2.0", "iti,3.0", ",4.0"]


def test_latex_escapes_text_and_sets_numbers_right() -> None:
    table = Table("a_b & 5 %", ("method", "n"), (("\\input{/etc/passwd} $x^2$ #1~", 1234), ("[−0.1, 2] ≥", None)))
    text = latex(table)
    assert r"\begin{longtable}{lr}" in text and r"\caption{a\_b \& 5 \%} \\" in text
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}2\$ \#1\textasciitilde{} & 1,234 \\" in text
    assert r"{[$-$0.1, 2] $\geq$} &  \\" in text


@pytest.mark.parametrize("name", ["tables.md", "tables.tex"])
def test_texts_hold_every_table_with_the_cells_of_the_page(name: str, tmp_path: Path) -> None:
    tables = list(shown_tables(compute(made_up_study.report(prompts=4, samples=1)).frames))
    write_texts(tables, "a study", tmp_path)
    text = (tmp_path / name).read_text(encoding="utf-8")
    rows = re.findall(r"^\|(?! ---)" if name.endswith("md") else r"\\\\$", text, flags=re.M)
    headings = len(tables) * (1 if name.endswith("md") else 2)  # in LaTeX the caption ends as a row does
    assert len(rows) == headings + sum(len(table.rows) for table in tables)
