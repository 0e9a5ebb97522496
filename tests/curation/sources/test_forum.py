"""The synthetic forum: gold spans that point at the clause, no thread twice, the same threads for the same numbers.

Covers curation.sources.synthetic.forum, curation.sources.synthetic.grammar, curation.sources.synthetic.phrases and
curation.sources.synthetic.threads.
"""

from __future__ import annotations

import itertools
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.corpus.tagged import TaggedCorpus
from curation.scorers import load_scorer
from curation.scorers.options import ProfanitySpec
from curation.sources.read import read_source
from curation.sources.spec import ForumSpec, SourceSpec
from curation.sources.synthetic.grammar import KINDS, rude_clause, rude_words
from curation.sources.synthetic.threads import make_thread
from infra.errors import InputError
from tests.helpers.corpora import SENTENCES, Curate, write_jsonl

POOL = [SENTENCES[start : start + 4] for start in range(0, len(SENTENCES), 4)]
NUMBERS = st.integers(0, 10**6)


def forum(sentences: dict, documents: int, seed: int = 0) -> list:
    source = ForumSpec(documents=documents, seed=seed, sentences=(SourceSpec(**sentences),))
    return list(read_source(source))


@settings(max_examples=60)
@given(NUMBERS, NUMBERS, st.floats(0, 1))
def test_gold_spans_lie_in_one_line_and_hold_a_rude_word_that_nothing_else_holds(
    seed: int, number: int, benign: float
) -> None:
    thread = make_thread(POOL, seed, number, benign)
    text, spans = thread.text, thread.metadata["gold_spans"]
    rest = list(text)
    for start, end in spans:
        assert 0 <= start < end <= len(text)
        clause = text[start:end]
        assert "\n" not in clause and clause[0].isupper() and clause == clause.strip()
        assert not rude_words().isdisjoint(re.findall("[a-z]+", clause.lower()))
        assert text[start - 1] == " " and text[end] in ".!"
        rest[start:end] = " " * (end - start)
    assert rude_words().isdisjoint("".join(rest).lower().split())


@settings(max_examples=60)
@given(NUMBERS, NUMBERS)
def test_a_thread_has_three_to_eight_posts_and_nobody_answers_himself(seed: int, number: int) -> None:
    authors = [line.split(": ", 1)[0] for line in make_thread(POOL, seed, number, 0.5).text.split("\n")]
    assert 3 <= len(authors) <= 8
    assert all(author and " " not in author for author in authors)
    assert all(one != next_one for one, next_one in itertools.pairwise(authors))


def test_a_thread_depends_on_seed_and_number_only(sentences: dict) -> None:
    few, many, other = forum(sentences, 5), forum(sentences, 600), forum(sentences, 5, seed=1)
    assert few == many[:5]
    assert not {thread.text for thread in few} & {thread.text for thread in other}


def test_no_thread_is_made_twice(sentences: dict) -> None:
    threads = forum(sentences, 2000)
    assert len({thread.text for thread in threads}) == len({thread.id for thread in threads}) == 2000


def test_the_grammar_has_thousands_of_clauses_of_every_kind() -> None:
    rng = random.Random(0)
    clauses = [rude_clause(rng, "anna", "the bridge") for _ in range(12_000)]
    assert len({clause.text for clause in clauses}) > 6000
    for kind in KINDS:
        assert len({clause.text for clause in clauses if clause.kind == kind}) > 800


def test_about_half_of_the_posts_are_rude_at_the_start_in_the_middle_and_at_the_end(sentences: dict) -> None:
    positions = {"start": 0, "middle": 0, "end": 0}
    posts = 0
    for thread in forum(sentences, 500):
        posts += thread.text.count("\n") + 1
        for start, end in thread.metadata["gold_spans"]:
            post = thread.text[thread.text.rfind("\n", 0, start) + 1 : (thread.text + "\n").index("\n", end)]
            before = thread.text[thread.text.rfind("\n", 0, start) + 1 : start]
            after = thread.text[end : (thread.text + "\n").index("\n", end)].strip(".! ")
            assert post.startswith(before)
            positions[
                "start" if before.endswith(": ") and before.count(" ") == 1 else "middle" if after else "end"
            ] += 1
    assert 0.45 < sum(positions.values()) / posts < 0.55
    assert min(positions.values()) > 0.2 * sum(positions.values())


def test_the_default_scorer_sees_most_rude_posts_and_hardly_any_other(sentences: dict) -> None:
    """With the quickstart's sentences .89 and .005 are measured; these made ones hold more words that weigh against."""
    rude, polite = [], []
    for thread in forum(sentences, 300):
        start = 0
        for line in thread.text.split("\n"):
            gold = any(start <= span[0] < start + len(line) for span in thread.metadata["gold_spans"])
            (rude if gold else polite).append(line)
            start += len(line) + 1
    scorer = load_scorer(ProfanitySpec())
    assert (scorer.score(rude)[:, 0] >= 0.5).mean() > 0.6
    assert (scorer.score(polite)[:, 0] >= 0.5).mean() < 0.03


def test_what_follows_a_clause_takes_it_up(sentences: dict) -> None:
    """Of the clauses that name what the thread is about, most are followed by the same words within two posts."""
    taken_up = named = 0
    nouns = ("house", "fence", "bench", "bridge", "river", "school", "station", "market", "neighbour")
    for thread in forum(sentences, 300):
        for start, end in thread.metadata["gold_spans"]:
            for noun in nouns:
                if noun in thread.text[start:end]:
                    named += 1
                    taken_up += noun in thread.text[end : end + 250]
    assert named > 100 and taken_up / named > 0.75


def test_sentences_with_rude_words_and_broken_ones_are_not_used(tmp_path: Path) -> None:
    rude, broken = "You are an idiot if you believe that story.", "[header] How to do it well in the end."
    bad = [rude, broken, "no capital here at all."]
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in (*SENTENCES, *bad)])
    joined = " ".join(thread.text for thread in forum({"path": str(path)}, 300))
    assert "believe that story" not in joined and "[header]" not in joined and "no capital here" not in joined


def test_too_few_sentences_are_an_input_error(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": SENTENCES[0]}])
    with pytest.raises(InputError, match="at least 50 clean sentences; its sources give 1"):
        forum({"path": str(path)}, 3)


def test_the_corpus_says_that_it_is_synthetic_and_keeps_gold_spans(curate: Curate, sentences: dict) -> None:
    artifact = curate({"path": "synthetic:forum", "documents": 20, "sentences": [sentences]})
    documents = list(TaggedCorpus.open(artifact.path, "it").documents())
    assert {(document.metadata["synthetic"], document.source) for document in documents} == {(True, "synthetic:forum")}
    assert sum(len(document.metadata["gold_spans"]) for document in documents) > 10
