"""`hormesis show` of a curation: figures that can be counted by hand, and toxic text that nobody meets unasked.

Covers curation.show.drawings, curation.show.page, curation.show.samples, curation.show.tables, curation.corpus.summary
and curation.corpus.risk_levels.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from curation.corpus.records import Span
from curation.corpus.risk_levels import THRESHOLDS, SourceRisk
from curation.corpus.summary import Summary
from curation.show import samples, tables
from curation.stage import CURATION
from infra.errors import InputError
from infra.render.page import Page, Table
from tests.helpers.corpora import SCORE, TAG, Curate, write_jsonl

RUDE, KIND = "you <b>idiot</b>", "A fine day."


@pytest.fixture
def page(tmp_path: Path, curate: Curate) -> Page:
    """Two sources, one of them rude, with an empty text and a repeated one."""
    write_jsonl(tmp_path / "in" / "rude.jsonl", [{"text": RUDE}, {"text": RUDE}, {"text": ""}, {"text": KIND}])
    write_jsonl(tmp_path / "in" / "kind.jsonl", [{"text": KIND}])
    return CURATION.show(curate({"path": "in/*.jsonl", "unique": True}, steps=[SCORE, TAG]))


def table(page: Page, beginning: str) -> Table:
    return next(shown for shown in page.tables if shown.title.startswith(beginning))


def test_tables_count_what_was_read_removed_and_kept(page: Page) -> None:
    (row,) = table(page, "Corpora").rows
    counted = dict(zip(table(page, "Corpora").columns, row, strict=True))
    assert (counted["documents"], counted["words"], counted["removed"], counted["bad lines"]) == (3, 8, 2, 0)
    assert [row[1:] for row in table(page, "Removed").rows] == [
        ("read", "empty text", 1, 0.2), ("read", "text seen before in the file", 1, 0.2)]  # fmt: skip
    assert "5 documents read" in page.html and "width:18.000rem" not in page.html
    assert 'class="bar" style="width:10.800rem"' in page.html  # 3 of 5 of the bar's 18 rem


def test_shares_are_told_for_every_source_and_threshold(page: Page) -> None:
    shares = table(page, "Share of documents")
    half = shares.columns.index("0.5")
    assert {row[1]: row[half] for row in shares.rows} == {
        "all sources": "33.3 %", "rude.jsonl": "50 %", "kind.jsonl": "0"}  # fmt: skip
    words = {row[1]: row[half] for row in table(page, "Share of words").rows}
    assert words["all sources"] == "12.5 %" and words["rude.jsonl"] == "20 %"  # one word of 8, and of 5


def test_the_page_escapes_text_and_hides_letters_until_asked(page: Page) -> None:
    assert "<b>" not in page.html
    assert page.html.count("<div class=veil>") == len(re.findall("<p class=heat>", page.html)) >= 4
    outside = re.sub("<p class=heat>.*?</p>", "", page.html)
    assert "idiot" not in outside and "i···t 1" in outside


def test_an_artifact_of_an_earlier_version_is_refused(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": KIND}])
    artifact = curate({"path": "a.jsonl"})
    manifest = artifact.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"steps"', '"scorer"'))
    with pytest.raises(InputError, match="made by an earlier hormesis"):
        CURATION.show(artifact)


def test_levels_count_a_score_at_the_thresholds_it_reaches_and_a_span_for_its_words() -> None:
    source = SourceRisk()
    source.add("one two three four", 4, {"toxicity": 0.5}, [Span(4, 13, "toxicity", 0.99), Span(0, 1, "toxicity", 0.3)])
    source.add("five", 1, {"toxicity": 0.0}, [])
    reached = dict(zip(THRESHOLDS, source.at_or_above("toxicity", "documents"), strict=True))
    assert reached[0.5] == 1 and reached[0.75] == 0
    words = dict(zip(THRESHOLDS, source.at_or_above("toxicity", "words"), strict=True))
    assert (words[0.25], words[0.5], words[0.99]) == (3, 2, 2)
    assert source.at_or_above("threat", "words") == [0] * len(THRESHOLDS)


def test_summaries_of_shards_add_up_whatever_their_order_and_stay_as_they_are() -> None:
    summaries = [Summary() for _ in range(3)]
    for number, summary in enumerate(summaries):
        summary.add(f"text {number}", f"{number % 2}.jsonl", {"toxicity": number / 2}, [Span(0, 4, "toxicity", 0.6)])
    before = [summary.to_json() for summary in summaries]
    total = Summary.total(summaries, bad_lines=4)
    restored = Summary.total([Summary.from_json(summary.to_json()) for summary in reversed(summaries)], bad_lines=4)
    assert total == restored and total.documents == 3 and total.bad_lines == 4
    assert [summary.to_json() for summary in summaries] == before
    assert total.sources["0.jsonl"].documents == 2


def test_sentences_are_not_counted_among_the_risky_words() -> None:
    summary = Summary()
    summary.add("word " * 20, "a", {}, [Span(0, 4, "toxicity", 0.9), Span(0, 60, "toxicity", 0.9)])
    assert dict(summary.risky_words) == {"word": 1}


def test_a_long_text_is_shown_around_its_riskiest_span() -> None:
    text = "a" * 5000 + "RISK" + "b" * 5000
    drawn = samples._drawn("id", "said", text, [Span(0, 3, "toxicity", 0.2), Span(5000, 5004, "toxicity", 0.9)])
    assert ">RISK</mark>" in drawn and drawn.count("<mark") == 1
    assert drawn.count("…") == 2 and len(drawn) < 2000


def test_samples_come_from_the_whole_corpus() -> None:
    shards = tuple(f"{number:05d}.parquet" for number in range(100))
    chosen = samples._spread(shards)
    assert len(chosen) == 8 and chosen[0] == shards[0] and chosen[-1] == shards[-1]
    assert samples._spread(shards[:3]) == list(shards[:3])


def test_a_step_says_what_it_found_and_a_long_report_is_cut() -> None:
    manifest = {"steps": [{"name": "0-a", "describe": "a", "mean": {"length": 9.91234, "lines": 40, "none": None}},
                          {"name": "1-b", "describe": "b", "found": "much " * 200}]}  # fmt: skip
    short, long = tables.steps(manifest).rows
    assert short == ("0-a", "a", "mean length 9.912, lines 40")
    assert len(str(long[2])) < 430 and str(long[2]).endswith("much … (manifest.json)")


def test_a_cascade_states_its_recall_and_its_marker_is_no_risk(tmp_path: Path, curate: Curate) -> None:
    texts = [RUDE if number % 2 else KIND for number in range(200)]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in texts])
    cascade = {"step": "cascade", "gate": {"name": "profanity"}, "scorer": {"name": "profanity"}, "survey": 100,
               "recall": 0.9, "confidence": 0.9, "audit": 1.0}  # fmt: skip
    page = CURATION.show(curate({"path": "a.jsonl"}, steps=[cascade]))
    (row,) = table(page, "Cascades").rows
    assert row[:6] == ("0-cascade", 0.9, 1.0, 1.0, 1.0, 0.9)
    assert {row[2] for row in table(page, "Share of documents").rows} == {"toxicity", "gate"}
    assert "seen: 200 documents" not in page.html and "gate: 200 documents" in page.html
    first = page.html.split("Samples, the riskiest first")[1].split("<div")[0]
    assert "seen 1.000" in first and float(first.split("toxicity ")[1][:5]) > 0.5
