"""The report's tables beside the page: each frame as Parquet and CSV with all digits; all tables as people read them in
one Markdown and one LaTeX file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from analysis.report.section import Frames
from infra.atomic import atomic_path, write_text
from infra.render.latex import latex
from infra.render.markdown import markdown
from infra.render.page import Table

FOLDER, MARKDOWN, LATEX = "tables", "tables.md", "tables.tex"


def write_frames(frames: Frames, folder: Path) -> None:
    """`tables/NAME.parquet` and `tables/NAME.csv` of every frame that holds anything."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        if frame.height:
            with atomic_path(folder / FOLDER / f"{name}.parquet") as path:
                frame.write_parquet(path, compression="zstd", compression_level=3)
            write_text(folder / FOLDER / f"{name}.csv", csv_of(frame))


def read_frames(folder: Path, names: Sequence[str]) -> Frames:
    """The frames of a written report that are there."""
    files = {name: folder / FOLDER / f"{name}.parquet" for name in names}
    return {name: pl.read_parquet(file) for name, file in files.items() if file.exists()}


def write_texts(tables: Sequence[Table], title: str, folder: Path) -> None:
    """`tables.md` and `tables.tex` of the same tables."""
    write_text(folder / MARKDOWN, "\n\n".join([f"# {title}", *map(markdown, tables)]) + "\n")
    head = "% \\usepackage{booktabs,longtable}"
    write_text(folder / LATEX, "\n\n".join([head, *map(latex, tables)]) + "\n")


def csv_of(frame: pl.DataFrame) -> str:
    """A frame as CSV. A cell that a spreadsheet would run as a formula begins with an apostrophe."""
    text = pl.col(pl.String)
    guarded = pl.when(text.str.contains(r"^[=+\-@\t\r]")).then(pl.format("'{}", text)).otherwise(text)
    return frame.with_columns(guarded.name.keep()).write_csv()
