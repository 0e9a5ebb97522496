"""CSV files: every problem is told with file:line at once, and what is read is joined, ordered and renormalised.

Covers mixtures.swarm.tables.
"""

import numpy as np
import pytest

from infra.errors import ConfigError, InputError
from mixtures.swarm.spec import ProxiesSpec
from mixtures.swarm.tables import read_mixtures, read_runs, write_numbers
from tests.helpers.swarms import NAMES, TARGETS, runs, write_csv


@pytest.fixture
def files(tmp_path):
    mixtures, results = runs(6)
    write_csv(tmp_path / "m.csv", NAMES, mixtures)
    write_csv(tmp_path / "r.csv", TARGETS, results)
    return ProxiesSpec(mixtures=str(tmp_path / "m.csv"), results=str(tmp_path / "r.csv"))


def problems(proxies, targets=None):
    with pytest.raises(ConfigError) as error:
        read_runs(proxies, NAMES, targets)
    return [str(problem) for problem in error.value.problems]


def edit(path, line, text):
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_runs_are_joined_on_index_whatever_the_order_of_lines_and_columns(tmp_path, files):
    mixtures, results = runs(6)
    index = [30, 10, 20, "a", "b", "c"]
    write_csv(tmp_path / "m.csv", NAMES[::-1], mixtures[:, ::-1] * 1.004, index)
    write_csv(tmp_path / "r.csv", TARGETS, results[::-1], index[::-1])
    proxy_runs = read_runs(files, NAMES, ("toxicity",))
    assert proxy_runs.index == ("30", "10", "20", "a", "b", "c") and proxy_runs.targets == ("toxicity",)
    np.testing.assert_allclose(proxy_runs.mixtures, mixtures, rtol=1e-12)
    np.testing.assert_array_equal(proxy_runs.results, results[:, 1:])


def test_every_problem_of_both_files_is_told_with_its_line(tmp_path, files):
    edit(tmp_path / "m.csv", 3, "2,0.5,0.2,0.1,0.1")
    edit(tmp_path / "m.csv", 4, "3,-0.1,0.5,0.3,0.3")
    edit(tmp_path / "m.csv", 5, "4,0.1,0.5")
    edit(tmp_path / "m.csv", 6, "1,0.1,0.2,0.1,0.6")
    edit(tmp_path / "r.csv", 2, "1,abc,0.1")
    edit(tmp_path / "r.csv", 3, "2,1.0,")
    edit(tmp_path / "r.csv", 7, "7,1.0,inf")
    told = problems(files)
    expected = (
        "m.csv:3: the shares sum to 0.9",
        "m.csv:4: books: a share is at least 0",
        "m.csv:5: 3 cells, and the header has 5",
        "m.csv:6: index: 1 stands in line 2 already",
        "m.csv:7: index: 6 has no line in",
        "r.csv:2: loss: 'abc' is not a finite number",
        "r.csv:3: toxicity: is empty",
        "r.csv:7: toxicity: 'inf' is not a finite number",
        "r.csv:7: index: 7 has no line in",
    )
    for words in expected:
        assert any(words in line for line in told), (words, told)


@pytest.mark.parametrize(
    ("file", "header", "words"),
    [
        ("m.csv", "index,books,code,forums,web", ["forum: the component has no column", "forums: is no component"]),
        ("m.csv", "id,books,code,forum,web", ["index: is needed"]),
        ("m.csv", "index,books,books,forum,web", ["books: this column stands twice"]),
        ("r.csv", "index,loss,toxicty", ['toxicity: no such column; there are: loss, toxicty; did you mean "toxicty"']),
    ],
)
def test_headers_that_do_not_fit_are_told_with_the_nearest_name(tmp_path, files, file, header, words):
    edit(tmp_path / file, 1, header)
    told = "\n".join(problems(files, TARGETS))
    assert all(word in told for word in words), told


@pytest.mark.parametrize("content", [b"", b"index,books,code,forum,web\n"])
def test_files_without_runs_are_refused(tmp_path, files, content):
    (tmp_path / "m.csv").write_bytes(content)
    assert any("m.csv:1" in line for line in problems(files))


def test_files_that_are_no_text_or_not_there_are_named(tmp_path, files):
    (tmp_path / "m.csv").write_bytes(b"index,books\n1,\xff\xfe\n")
    with pytest.raises(InputError, match=r"m\.csv: cannot be read as CSV in UTF-8"):
        read_runs(files, NAMES, None)
    (tmp_path / "m.csv").unlink()
    with pytest.raises(InputError, match=r"m\.csv: no such file"):
        read_runs(files, NAMES, None)


def test_what_is_written_reads_back_to_the_same_numbers(tmp_path):
    mixtures, _ = runs(5)
    names = ("plain", 'with "quotes"', "a,comma", "über")
    write_numbers(tmp_path / "out.csv", ["1", "2", "3", "x,y", "5"], names, mixtures)
    index, shares = read_mixtures(tmp_path / "out.csv", names)
    assert index == ("1", "2", "3", "x,y", "5")
    np.testing.assert_allclose(shares, mixtures, rtol=1e-15)
