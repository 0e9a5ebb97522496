"""Pages escape what they show, toxic text hides until asked, registries suggest names, status reads what runs leave.

Covers infra.render.html, infra.render.page, infra.render.progress, infra.artifacts.lineage and
infra.stages.status.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts.artifact import write_manifest
from infra.artifacts.lineage import lineage
from infra.errors import ConfigError, InputError, JobError, Problem, StepsFailed, UserError
from infra.render.html import blurred, heatmap, page, table_html
from infra.render.page import Table
from infra.render.progress import bar
from infra.render.terminal import print_error, print_table
from infra.stages.status import STEPS_FILE, status_tables

NASTY = "<script>alert('x')</script> & \"you\""


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(-5, 70), st.integers(-5, 70), st.floats(0, 1)), max_size=5))
def test_heatmaps_lose_no_character_and_leak_no_markup(text, spans):
    import html
    import re

    drawn = heatmap(text, spans)
    body = drawn.split("<p class=heat>")[1].removesuffix("</p></div>")
    assert html.unescape(re.sub(r"</?mark[^>]*>", "", body)) == html.unescape(html.escape(text))


def test_everything_shown_is_escaped_and_toxic_text_is_behind_a_click():
    whole = page(
        NASTY, table_html(Table(NASTY, (NASTY,), ((NASTY,),))) + blurred(NASTY) + heatmap(NASTY, [(0, 5, 0.9)])
    )
    assert "<script>" not in whole
    assert whole.count("<details class=blurred>") == 1 and "<details class=blurred open" not in whole
    assert whole.count("<div class=veil>") == 1 and "checked>" not in whole.split("<body>")[1]


def test_the_highest_score_wins_where_spans_overlap():
    assert 'title="0.900"' in heatmap("abcdef", [(0, 4, 0.2), (2, 6, 0.9)])
    assert heatmap("abcdef", [(0, 4, 0.2), (2, 6, 0.9)]).count("<mark") == 2


def test_terminal_tables_keep_markup_literal(capsys):
    print_table(Table("t", ("a", "b"), (("[red]x[/red]", 1234567),)))
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out and "1,234,567" in out


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            ConfigError([Problem("a.yaml:3", "b.c", "is wrong"), Problem("a.yaml:4", "d", "too")]),
            2,
            ["a.yaml:3: b.c: is wrong", "2 problem(s)"],
        ),
        (InputError("no such file"), 2, ["no such file"]),
        (StepsFailed([("train", "out of memory"), ("mix", "no tokens")]), 1, ["2 step(s)", "train: out of memory"]),
    ],
)  # fmt: skip
def test_errors_print_as_messages_with_their_exit_code(error, code, words, capsys):
    print_error(error)
    shown = capsys.readouterr().err
    assert error.exit_code == code and all(word in shown for word in words)


def test_user_errors_are_value_errors_and_job_errors_are_not():
    assert issubclass(UserError, ValueError) and not issubclass(JobError, ValueError)


def test_progress_is_silent_off_a_terminal_and_leaves_a_file_for_status(tmp_path, capsys):
    work = tmp_path / ".out.0123456789ab.partial"
    work.mkdir()
    with bar("scoring", 10, "documents", folder=work) as advance:
        advance(4)
        advance(2)
    assert capsys.readouterr() == ("", "")
    ((_, state, progress),) = status_tables(tmp_path / "out")[0].rows
    assert state.startswith("stopped") and "scoring: 6 of 10 documents" in progress


def test_status_of_a_study_lists_every_step(tmp_path):
    rows = [{"name": "a", "state": "done", "detail": "x"}, {"name": "b", "state": "failed", "detail": "why"}]
    (tmp_path / STEPS_FILE).write_text(json.dumps(rows))
    assert status_tables(tmp_path)[0].rows == (("a", "done", "x"), ("b", "failed", "why"))
    with pytest.raises(InputError):
        status_tables(tmp_path / "none")


def test_lineage_follows_inputs_by_fingerprint_through_neighbours(tmp_path):
    for name, kind, inputs in (("one", "curation", {"raw": "f" * 64}), ("two", "mixture", {"curation": "one-print"})):
        (tmp_path / name).mkdir()
        write_manifest(tmp_path / name, {}, kind=kind, version=1, fingerprint=f"{name}-print", config={}, inputs=inputs,
                       counts={}, notes=[], started="now")  # fmt: skip
    table, chain = lineage(tmp_path / "two")
    assert [artifact.kind for artifact in chain] == ["mixture", "curation"]
    assert [row[1] for row in table.rows] == ["mixture", "curation", "raw"]
