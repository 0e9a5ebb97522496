"""Threads as a forum's API gives them: a list of posts, in HTML.

Covers curation.sources.extract.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.sources.extract import text_of_html
from tests.helpers.corpora import Curate, write_jsonl

THREAD = {"posts": [
    {"no": 7, "com": "First &quot;post&quot;<br>second line"},
    {"no": 8, "tim": 1},
    {"no": 9, "com": '<a href="#p7">&gt;&gt;7</a><br><span class="quote">&gt;post</span><br>no<wbr>pe'},
]}  # fmt: skip


def test_the_posts_of_a_thread_become_one_document(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.ndjson", [THREAD, {"posts": [{"no": 3}]}])
    artifact = curate({"path": "a.ndjson", "text": "posts.*.com", "html": True, "id": "posts.0.no"})
    (document,) = TaggedCorpus.open(artifact.path, "it").documents()
    assert document.id == "7"
    assert document.text == 'First "post"\nsecond line\n>>7\n>post\nnope'
    removed = json.loads((artifact.path / "manifest.json").read_text())["corpora"]["it"]["removed"]
    assert removed == {"read": {"empty text": 1}}


@pytest.mark.parametrize("record", [{"posts": {}}, {"posts": "x"}, {"posts": 3}])
def test_a_record_with_something_else_than_the_list_is_a_bad_line(tmp_path: Path, curate: Curate, record: dict) -> None:
    write_jsonl(tmp_path / "a.ndjson", [THREAD, record])
    artifact = curate({"path": "a.ndjson", "text": "posts.*.com"}, max_bad_share=0.5)
    bad = json.loads((artifact.path / "quarantine.jsonl").read_text())
    assert bad["line"] == 2 and 'no key "posts.*.com"' in bad["reason"]


@pytest.mark.parametrize(
    ("html", "text"),
    [("a<br/>b<BR>c", "a\nb\nc"), ("<p>a</p>b", "a\nb"), ("&lt;b&gt;", "<b>"), ("1 < 2", "1 < 2"), ("", "")],
)
def test_html_becomes_what_a_person_reads(html: str, text: str) -> None:
    assert text_of_html(html) == text
