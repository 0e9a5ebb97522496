"""What the command line prints: tables, pages, plans, and one clear message for every error."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from infra.atomic import write_text
from infra.errors import ConfigError, HormesisError, RanksFailed, StepsFailed
from infra.render.html import page, text_of
from infra.render.page import Page, Plan, Table
from infra.render.printable import plain_console, printable

_PROBLEMS = 100  # that are printed; nobody reads more


def print_table(table: Table, console: Console | None = None) -> None:
    """One table; numbers to the right, long text folded rather than cut."""
    from rich.table import Table as RichTable  # no command that prints none waits for it

    title = Text(printable(table.title), style="bold") if table.title else None
    rich = RichTable(title=title, title_justify="left", header_style="dim", box=None)
    for index, column in enumerate(table.columns):
        numeric = all(isinstance(row[index], (int, float)) or row[index] is None for row in table.rows)
        rich.add_column(printable(column), justify="right" if numeric and table.rows else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(Text(printable(text_of(value)), overflow="fold") for value in row))
    (console or _console()).print(rich)


def print_line(text: str, *, style: str | None = None, stderr: bool = False) -> None:
    """A line or more, not folded."""
    plain_console(stderr).print(printable(text), style=style, soft_wrap=True)


def _console(stderr: bool = False) -> Console:
    """Standard output or error; a pipe or a file has no width, and rows there should not be folded at 80."""
    console = plain_console(stderr)
    return console if console.is_terminal else plain_console(stderr, width=160)


def print_plan(plan: Plan) -> None:
    """A plan: its title, its tables, its notes, its scripts."""
    print_line(plan.title, style="bold")
    for table in plan.tables:
        print_table(table)
    for note in plan.notes:
        print_line(note)
    for title, text in plan.scripts:
        print_line(f"\n{title}", style="bold")
        print_line(text.removesuffix("\n"))


def print_page(shown: Page, target: Path) -> None:
    """The tables of a page here, the page itself into `target` unless it is a file already."""
    for table in shown.tables:
        print_table(table)
    if shown.file is None:
        write_text(target, page(shown.title, shown.html))
    print_line(f"page: {shown.file or target}")


def print_error(error: HormesisError) -> None:
    """One clear message on standard error; a table where several things failed."""
    if isinstance(error, ConfigError):
        _print_problems(error)
    elif isinstance(error, StepsFailed):
        print_line(f"{len(error.failures)} step(s) failed; the rest of the work is kept:", style="red", stderr=True)
        for name, why in error.failures:
            print_line(f"  {name}: {why}", stderr=True)
    elif isinstance(error, RanksFailed):
        rows = tuple((failure.rank, failure.reads, failure.where, failure.reason) for failure in error.failures)
        title = f"{error.job}: {len(rows)} of {error.ranks} ranks failed; the rest of the work is kept:"
        print_line(title, style="red", stderr=True)
        print_table(Table("", ("rank", "reads", "file:line", "reason"), rows), _console(stderr=True))
        print_line("run the same command again to try these ranks once more", style="red", stderr=True)
    else:
        print_line(f"error: {error}", style="red", stderr=True)


def _print_problems(error: ConfigError) -> None:
    for problem in error.problems[:_PROBLEMS]:
        print_line(str(problem), stderr=True)
    if (more := len(error.problems) - _PROBLEMS) > 0:
        print_line(f"and {more:,} more", stderr=True)
    print_line(f"{len(error.problems)} problem(s) in the configuration; nothing was run", style="red", stderr=True)
