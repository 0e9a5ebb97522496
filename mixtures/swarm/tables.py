"""CSV files of mixtures and of results: every problem at once with file:line, and nothing mended in silence."""

from __future__ import annotations

import csv
import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infra.atomic import write_text
from infra.config.faults import nearest
from infra.errors import ConfigError, InputError, Problem
from mixtures.swarm.solving.capped import Array
from mixtures.swarm.spec import SUM_TOLERANCE, ProxiesSpec

INDEX = "index"
_SHOWN = 40  # problems of one file that are told one by one


@dataclass(frozen=True)
class Numbers:
    """A CSV of numbers: column names without `index`, and for every index its line and its values."""

    path: Path
    columns: tuple[str, ...]
    rows: dict[str, tuple[int, tuple[float, ...]]]

    def select(self, columns: Sequence[str], order: Iterable[str]) -> Array:
        """Values [rows, columns] in this order."""
        indices = [self.columns.index(column) for column in columns]
        table = []
        for name in order:
            _, values = self.rows[name]
            table.append([values[index] for index in indices])
        return np.asarray(table, np.float64)


@dataclass(frozen=True)
class Runs:
    """Runs that were trained: shares [n, m] that sum to 1, and the results [n, t], in the mixture file's order."""

    index: tuple[str, ...]
    components: tuple[str, ...]
    targets: tuple[str, ...]
    mixtures: Array
    results: Array

    def without(self, names: Container[str]) -> Runs:
        """The runs but for those of these names."""
        rows = [row for row, name in enumerate(self.index) if name not in names]
        index = tuple(self.index[row] for row in rows)
        return replace(self, index=index, mixtures=self.mixtures[rows], results=self.results[rows])


def read_runs(proxies: ProxiesSpec, components: Sequence[str], targets: Sequence[str] | None) -> Runs:
    """Both files joined on `index`. Raises ConfigError with every problem of both, InputError if one cannot be read."""
    problems: list[Problem] = []
    mixtures = read_numbers(Path(proxies.mixtures), problems)
    results = read_numbers(Path(proxies.results), problems)
    _check_components(mixtures, components, problems)
    for one, other in ((mixtures, results), (results, mixtures)):
        problems += [
            Problem(f"{one.path}:{line}", INDEX, f"{index} has no line in {other.path}")
            for index, (line, _) in one.rows.items()
            if index not in other.rows
        ]
    columns = tuple(targets) if targets is not None else results.columns
    if not results.columns:
        problems.append(Problem(f"{results.path}:1", "", f"there is no column beside {INDEX}: nothing was measured"))
    problems += [
        Problem(f"{results.path}:1", name, f"no such column; there are: {_listed(results.columns, name)}")
        for name in columns
        if name not in results.columns
    ]
    _refuse(problems)
    index = tuple(mixtures.rows)
    shares = mixtures.select(components, index)
    measured = results.select(columns, index)
    return Runs(index, tuple(components), columns, shares / shares.sum(1, keepdims=True), measured)


def read_mixtures(path: Path, components: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    """Indices and renormalised shares [n, m] of a mixture file. Raises ConfigError with every problem."""
    problems: list[Problem] = []
    mixtures = read_numbers(path, problems)
    _check_components(mixtures, components, problems)
    _refuse(problems)
    shares = mixtures.select(components, mixtures.rows)
    return tuple(mixtures.rows), shares / shares.sum(1, keepdims=True)


def read_numbers(path: Path, problems: list[Problem]) -> Numbers:
    """Read a CSV whose first line names its columns, `index` among them; adds to `problems` what is wrong with it."""
    lines = _lines(path)
    header = [name.strip() for name in lines[0][1]] if lines else []
    doubled = sorted({name for name in header if header.count(name) > 1})
    problems += [Problem(f"{path}:1", name, "this column stands twice") for name in doubled]
    if INDEX not in header:
        there = f"the columns are {', '.join(header[:8])}" if header else "the file is empty"
        problems.append(Problem(f"{path}:1", INDEX, f"is needed, as files are joined on it; {there}"))
        return Numbers(path, tuple(header), {})
    rows: dict[str, tuple[int, tuple[float, ...]]] = {}
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            problems.append(Problem(f"{path}:{line}", "", f"{len(cells)} cells, and the header has {len(header)}"))
            continue
        index = cells[header.index(INDEX)].strip()
        if not index:
            problems.append(Problem(f"{path}:{line}", INDEX, "is empty"))
        elif index in rows:
            problems.append(Problem(f"{path}:{line}", INDEX, f"{index} stands in line {rows[index][0]} already"))
        else:
            named = zip(header, cells, strict=True)
            values = [_number(cell, f"{path}:{line}", name, problems) for name, cell in named if name != INDEX]
            rows[index] = (line, tuple(values))
    if not rows:
        problems.append(Problem(f"{path}:1", "", "there is no line below the header"))
    return Numbers(path, tuple(name for name in header if name != INDEX), rows)


def write_numbers(path: Path, index: Sequence[str], columns: Sequence[str], values: Array) -> None:
    """Write such a CSV; numbers in their shortest form that reads back to the same number."""
    lines = [",".join(_quoted(name) for name in (INDEX, *columns))]
    for name, row in zip(index, values, strict=True):
        lines.append(",".join([_quoted(name), *(repr(float(value)) for value in row)]))
    write_text(path, "\n".join(lines) + "\n")


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Line numbers and cells of every line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, cells) for cells in reader if "".join(cells).strip()]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV in UTF-8: {error}") from None


def _number(cell: str, where: str, name: str, problems: list[Problem]) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        told = f"{cell.strip()!r} is not a finite number" if cell.strip() else "is empty; leave out runs that failed"
        problems.append(Problem(where, name, told))
    return value


def _check_components(mixtures: Numbers, components: Sequence[str], problems: list[Problem]) -> None:
    """The file's columns are the components, shares are at least 0, and a row sums to 1 within rounding."""
    head = f"{mixtures.path}:1"
    missing = [name for name in components if name not in mixtures.columns]
    problems += [
        Problem(head, name, f"the component has no column{nearest(name, mixtures.columns)}") for name in missing
    ]
    problems += [
        Problem(head, name, f"is no component; there are: {_listed(components, name)}")
        for name in mixtures.columns
        if name not in components
    ]
    for line, values in mixtures.rows.values():
        where = f"{mixtures.path}:{line}"
        negative = [name for name, value in zip(mixtures.columns, values, strict=False) if value < 0]
        problems += [Problem(where, name, "a share is at least 0") for name in negative]
        if not negative and not abs(math.fsum(values) - 1) <= SUM_TOLERANCE and all(map(math.isfinite, values)):
            told = f"the shares sum to {math.fsum(values):.4g}; a mixture sums to 1 (within {SUM_TOLERANCE:g})"
            problems.append(Problem(where, "", told))


def _refuse(problems: list[Problem]) -> None:
    if len(problems) > _SHOWN:
        more = len(problems) - _SHOWN
        problems = [*problems[:_SHOWN], Problem("…", "", f"and {more} more of the kind")]
    if problems:
        raise ConfigError(problems)


def _listed(names: Sequence[str], name: str) -> str:
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"{shown or 'none'}{nearest(name, names)}"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text
