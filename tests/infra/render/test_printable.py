"""Nothing that comes from data reaches the terminal as a command to it, and no terminal makes a message fail.

Covers infra.render.printable and infra.render.terminal.
"""

import errno

import pytest

from infra.errors import ConfigError, InputError, Problem, RankFailure, RanksFailed, StepsFailed, of_the_system
from infra.render.page import Page, Plan, Table
from infra.render.printable import printable
from infra.render.progress import say
from infra.render.terminal import print_error, print_page, print_plan, print_table

EVIL = "\x1b[31m\x1b]0;owned\x07\x9b2J\r\u202etxt\x00\x7f"


def test_control_characters_are_written_out_and_text_stays():
    assert printable("größe 学\n\tx [b] :100:") == "größe 学\n\tx [b] :100:"
    assert printable("\x1b\r\x9b\u202e\udcff") == "\\x1b\\x0d\\x9b\\u202e\\udcff"


@pytest.mark.parametrize(
    "show",
    [
        lambda path: print_table(Table(EVIL, (EVIL,), ((EVIL,),))),
        lambda path: print_plan(Plan(EVIL, (), (EVIL,), ((EVIL, EVIL),))),
        lambda path: print_page(Page(EVIL, (), file=path / EVIL.replace("\0", "")), path),
        lambda path: print_error(InputError(EVIL)),
        lambda path: print_error(ConfigError([Problem(EVIL, EVIL, EVIL)])),
        lambda path: print_error(StepsFailed([(EVIL, EVIL)])),
        lambda path: print_error(RanksFailed(EVIL, 1, [RankFailure(0, EVIL, EVIL, EVIL)])),
        lambda path: say(EVIL),
    ],
)
def test_nothing_of_the_data_controls_the_terminal(tmp_path, capsys, show):
    show(tmp_path)
    shown = "".join(capsys.readouterr())
    assert "\\x1b" in shown and not set(shown) & set("\x1b\x07\x9b\r\u202e\x00\x7f")


def test_file_and_line_are_not_read_as_emoji_or_markup(capsys):
    print_error(ConfigError([Problem("a.yaml:100", "x:100:y[red]", "is :smile: wrong")]))
    say("a.yaml:100: [bold]")
    shown = capsys.readouterr().err
    assert "a.yaml:100: x:100:y[red]: is :smile: wrong" in shown and "a.yaml:100: [bold]" in shown


def test_ten_thousand_problems_are_a_hundred_lines(capsys):
    print_error(ConfigError([Problem("a:1", str(number), "is wrong") for number in range(10_000)]))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 102 and lines[-2] == "and 9,900 more" and "10000 problem(s)" in lines[-1]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.parquet"), 1, "a.parquet: no space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "no space left"),
        (RuntimeError("Error while serializing: IoError(Os { code: 28, kind: StorageFull })"), 1, "no space left"),
        (OSError(errno.EROFS, "Read-only file system", "x"), 2, "x: Read-only file system"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "x: Permission denied"),
        (OSError(errno.EIO, "Input/output error", "x"), 1, "x: Input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_message(error, code, words):
    known = of_the_system(error)
    assert known is not None and known.exit_code == code and words in str(known)


def test_our_own_mistakes_keep_their_traceback():
    assert of_the_system(KeyError("x")) is None
