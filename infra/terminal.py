"""What the command line prints: tables, pages, plans, and one clear message for every error."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable

from infra.errors import ConfigError, HormesisError, RanksFailed, StepsFailed
from infra.html import page, text_of
from infra.stage import Page, Plan, Table


def print_table(table: Table, console: Console | None = None) -> None:
    """One table; numbers to the right, long text folded rather than cut."""
    rich = RichTable(title=table.title or None, title_justify="left", title_style="bold", header_style="dim", box=None)
    for index, column in enumerate(table.columns):
        numeric = all(isinstance(row[index], (int, float)) or row[index] is None for row in table.rows)
        rich.add_column(column, justify="right" if numeric and table.rows else "left", overflow="fold")
    for row in table.rows:
        rich.add_row(*(_safe(text_of(value)) for value in row))
    (console or _console()).print(rich)


def _console(stderr: bool = False) -> Console:
    """Standard output or error; a pipe or a file has no width, and rows there should not be folded at 80."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=160)


def print_plan(plan: Plan) -> None:
    """A plan: its title, its tables, its notes, its scripts."""
    console = Console(highlight=False)
    console.print(plan.title, style="bold", markup=False)
    for table in plan.tables:
        print_table(table)
    for note in plan.notes:
        console.print(note, markup=False, soft_wrap=True)
    for title, text in plan.scripts:
        console.print(f"\n{title}", style="bold", markup=False)
        console.print(text, markup=False, soft_wrap=True, end="")


def print_page(shown: Page, target: Path) -> None:
    """The tables of a page here, the page itself into `target` unless it is a file already."""
    from infra.atomic import write_text

    for table in shown.tables:
        print_table(table)
    if shown.file is None:
        write_text(target, page(shown.title, shown.html))
    Console(highlight=False).print(f"page: {shown.file or target}", markup=False, soft_wrap=True)


def print_error(error: HormesisError) -> None:
    """One clear message on standard error; a table where several things failed."""
    console = Console(stderr=True, highlight=False)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            console.print(str(problem), markup=False, soft_wrap=True)
        console.print(f"{len(error.problems)} problem(s) in the configuration; nothing was run", style="red")
    elif isinstance(error, StepsFailed):
        console.print(f"{len(error.failures)} step(s) failed; the rest of the work is kept:", style="red")
        for name, why in error.failures:
            console.print(f"  {name}: {why}", markup=False, soft_wrap=True)
    elif isinstance(error, RanksFailed):
        rows = tuple((each.rank, each.reads, each.where, each.reason) for each in error.failures)
        title = f"{error.job}: {len(rows)} of {error.ranks} ranks failed; the rest of the work is kept:"
        console.print(title, markup=False, soft_wrap=True, style="red")
        print_table(Table("", ("rank", "reads", "file:line", "reason"), rows), _console(stderr=True))
        console.print("run the same command again to try these ranks once more", soft_wrap=True, style="red")
    else:
        console.print(f"error: {error}", markup=False, soft_wrap=True, style="red")


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)
