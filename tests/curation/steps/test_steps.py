"""Steps: what each of them keeps, removes and writes, and that everything removed can be found again.

Covers curation.steps.base, curation.steps.base_options, curation.steps.options, curation.steps.decontaminate,
curation.steps.dedup.base_dedup, curation.steps.dedup.exact_dedup, curation.steps.dedup.minhash, curation.steps.pii,
curation.steps.filters.base_filter, curation.steps.filters.filter_options, curation.steps.filters.c4_quality,
curation.steps.filters.fineweb_quality, curation.steps.filters.gopher_quality, curation.steps.filters.gopher_repetition
and curation.steps.filters.regex.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curation.corpus.records import Document
from curation.corpus.tagged import TaggedCorpus
from infra.artifacts.artifact import Artifact
from infra.errors import ConfigError, InputError, RanksFailed
from tests.helpers.corpora import SCORE, SENTENCES, TAG, Curate, load, write_jsonl

PROSE = " ".join(SENTENCES[:12])
VILLAGE = """The old harbour lies on the northern side of the town, where the river meets the sea.
Fishing boats leave before dawn and come back with the tide in the afternoon.
A narrow lane leads from the market to the church, and children play there after school.
In winter the wind is strong, so most shops have heavy wooden doors.
Visitors who come in spring can have the whole beach to themselves.
Nobody remembers who built the lighthouse, but everyone tells a story about it."""


def texts(artifact: Artifact, corpus: str = "it") -> list[str]:
    return [document.text for document in documents(artifact, corpus)]


def documents(artifact: Artifact, corpus: str = "it") -> list[Document]:
    return list(TaggedCorpus.open(artifact.path, corpus).documents())


def removed(artifact: Artifact, corpus: str = "it") -> list[tuple[str, str, str]]:
    """(text, step, reason) of all that was removed, in order."""
    files = sorted((artifact.path / "excluded" / corpus).glob("*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    return [(row["text"], row["step"], row["reason"]) for row in rows]


def step(name: str, **options: Any) -> dict[str, Any]:
    return {"step": name, **options}


def test_steps_run_in_their_order_and_what_one_removes_the_next_does_not_see(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in ("You idiot.", "A fine day.", "", "secret: fine.")])
    steps = [step("regex", regex_exp="secret"), SCORE, step("where", keep="toxicity < 0.5"), TAG]
    artifact = curate({"path": "a.jsonl"}, steps=steps)
    assert texts(artifact) == ["A fine day."]
    assert removed(artifact) == [
        ("", "read", "empty text"), ("secret: fine.", "0-regex", "regex"),
        ("You idiot.", "2-where", "not toxicity < 0.5"),
    ]  # fmt: skip
    manifest = TaggedCorpus.open(artifact.path, "it").manifest
    assert manifest["removed"] == {
        "0-regex": {"regex": 1}, "2-where": {"not toxicity < 0.5": 1}, "read": {"empty text": 1},
    }  # fmt: skip
    assert artifact.counts["it"]["removed"] == 3


def test_a_step_keeps_to_its_corpora(tmp_path: Path) -> None:
    from curation.stage import CURATION
    from infra.stages.stage import run_stage

    write_jsonl(tmp_path / "a.jsonl", [{"text": "secret one"}, {"text": "fine"}])
    source = {"sources": [{"path": "a.jsonl"}]}
    steps = [step("regex", regex_exp="secret", corpora=["b"]), SCORE, step("exact_dedup", corpora=["b"])]
    artifact = run_stage(CURATION, load(tmp_path, {"a": source, "b": source}, steps=steps), tmp_path / "o", quiet=True)
    assert (texts(artifact, "a"), texts(artifact, "b")) == (["secret one", "fine"], ["fine"])
    assert removed(artifact, "a") == [] and removed(artifact, "b") == [("secret one", "0-regex", "regex")]


def test_two_scorers_of_equal_names_need_a_prefix(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "You idiot."}])
    with pytest.raises(InputError, match=r'both give scores called "toxicity"; give one of them a `prefix:`'):
        curate({"path": "a.jsonl"}, steps=[SCORE, SCORE])
    (document,) = documents(curate({"path": "a.jsonl"}, steps=[SCORE, {**SCORE, "prefix": "long_", "passage": 5000}]))
    assert list(document.scores) == ["long_toxicity", "toxicity"] or list(document.scores) == [
        "toxicity",
        "long_toxicity",
    ]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([step("regexx", regex_exp="x")], r"steps\[0\]\.step: .*did you mean .regex"),
        ([step("regex", regex_exp="(")], r"steps\[0\].regex_exp: no regular expression"),
        ([SCORE, step("pii")], r"steps\[1\]: pii changes the text, so it must stand before the step score"),
        ([SCORE, step("c4_quality", edit_text=True)], "c4_quality changes the text"),
        ([step("pii", corpora=["itt"])], r'steps\[0\].corpora: no corpus "itt"; there are: it; did you mean "it"'),
        ([step("where", keep="toxicity <")], r"steps\[0\].keep: .*cannot be read"),
        ([step("fasttext", model="m.bin", save_labels_in_metadata=False)], "would do nothing"),
        ([step("gopher_quality", min_doc_word=3)], r"unknown key.*did you mean \"min_doc_words\""),
    ],
)
def test_wrong_steps_are_told_with_their_place(tmp_path: Path, steps: list[dict], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, {"it": {"sources": [{"path": "a.jsonl"}]}}, steps=steps)
    assert "job.yaml:" in str(caught.value)


def test_a_score_that_no_step_before_gives_is_refused_before_anything_runs(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}])
    with pytest.raises(InputError, match=r"has no score 'toxcity'.*did you mean \"toxicity\""):
        curate({"path": "a.jsonl"}, steps=[SCORE, step("where", keep="toxcity < 0.5")])
    with pytest.raises(InputError, match="has no score 'toxicity'"):
        curate({"path": "a.jsonl"}, steps=[step("where", keep="toxicity < 0.5"), SCORE])
    with pytest.raises(RanksFailed, match=r"document 0/a\.jsonl:1: is not tagged"):
        curate({"path": "a.jsonl"}, steps=[step("where", keep="spans.count > 1")])


def test_where_sees_scores_spans_words_and_metadata(tmp_path: Path, curate: Curate) -> None:
    rows = [("You idiot, stupid idiot.", 1), ("You idiot.", 2), ("A fine day.", 3), ("stupid idiot, moron, idiot", 4)]
    write_jsonl(tmp_path / "a.jsonl", [{"text": text, "n": n} for text, n in rows])
    keep = "spans.count >= 2 and spans.max > 0.9 and metadata.n < 4 and characters < 100"
    artifact = curate({"path": "a.jsonl", "keep": ["n"]}, steps=[SCORE, TAG, step("where", keep=keep)])
    assert texts(artifact) == ["You idiot, stupid idiot."]


def test_exact_dedup_keeps_the_first_of_the_corpus_whatever_the_shards(tmp_path: Path, curate: Curate) -> None:
    """The copies stand in earlier and later lines of later files, and in a file of their own."""
    for number, lines in enumerate((["x", "same", "y"], ["same", "y", "z"], ["w", "v", "u", "same"], ["same"])):
        write_jsonl(tmp_path / f"{number}.jsonl", [{"text": f"text {line}"} for line in lines])
    artifact = curate({"path": "*.jsonl"}, steps=[step("exact_dedup", finder_workers=3)], workers=2)
    assert texts(artifact) == [f"text {line}" for line in ("x", "same", "y", "z", "w", "v", "u")]
    assert [row[0] for row in removed(artifact)] == ["text same", "text y", "text same", "text same"]
    counts = {document.text: document.metadata["duplicate_count"] for document in documents(artifact)}
    assert (counts["text same"], counts["text y"], counts["text z"]) == (3, 1, 0)


def test_minhash_keeps_the_first_of_documents_that_are_nearly_equal(tmp_path: Path, curate: Curate) -> None:
    base = " ".join(a + b + c for a in "bdfk" for b in "aeiou" for c in "lmnrst")
    near = [base, base + " once more", "before that " + base, base.replace("kal", "other")]
    for number, lines in enumerate((["unlike " + PROSE, near[1]], [near[0], "short"], [near[2], "short"], [near[3]])):
        write_jsonl(tmp_path / f"{number}.jsonl", [{"text": line} for line in lines])
    artifact = curate({"path": "*.jsonl"}, steps=[step("minhash"), SCORE | {"unscored": "leave"}])
    assert texts(artifact) == ["unlike " + PROSE, near[1], "short", "short"]
    assert {(text, name) for text, name, _ in removed(artifact)} == {
        (text, "0-minhash") for text in (*near[2:], near[0])
    }


def test_dedup_across_corpora_follows_their_order_and_only_when_it_is_told_to(tmp_path: Path) -> None:
    from curation.stage import CURATION
    from infra.stages.stage import run_stage

    write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}])
    write_jsonl(tmp_path / "b.jsonl", [{"text": "two"}, {"text": "three"}])
    corpora = {name: {"sources": [{"path": f"{name}.jsonl"}]} for name in ("a", "b")}
    for across, left in ((False, ["two", "three"]), (True, ["three"])):
        spec = load(tmp_path, corpora, steps=[step("exact_dedup", across_corpora=across)])
        artifact = run_stage(CURATION, spec, tmp_path / f"out-{across}", quiet=True)
        assert (texts(artifact, "a"), texts(artifact, "b")) == (["one", "two"], left)


def test_quality_filters_judge_with_datatrove_s_own_parameters_and_leave_the_text(
    tmp_path: Path, curate: Curate
) -> None:
    menu = "Home\nAbout us\nContact\n" * 5
    write_jsonl(tmp_path / "a.jsonl", [{"text": VILLAGE + "\nRead more"}, {"text": menu}])
    for quality, options in (("gopher_quality", {"min_doc_words": 60}), ("gopher_repetition", {}), ("c4_quality", {}),
                             ("fineweb_quality", {"char_duplicates_ratio": 0.5})):  # fmt: skip
        artifact = curate({"path": "a.jsonl"}, steps=[step(quality, **options)], out=quality)
        assert texts(artifact) == [VILLAGE + "\nRead more"], removed(artifact)
        ((text, name, reason),) = removed(artifact)
        assert (text, name) == (menu, f"0-{quality}") and reason not in ("", quality)
    edited = curate({"path": "a.jsonl"}, steps=[step("c4_quality", edit_text=True)], out="edited")
    assert texts(edited) == [VILLAGE]


def test_pii_changes_the_text_and_marks_what_it_changed(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "Write to jo@uni.edu or 8.8.8.8."}, {"text": "Nobody."}])
    artifact = curate({"path": "a.jsonl"}, steps=[step("pii", email_replacement=["NOBODY"], ip_replacement=["0"]), TAG])
    assert texts(artifact) == ["Write to NOBODY or 0.", "Nobody."]
    assert [document.metadata for document in documents(artifact)] == [{"pii_replaced": True}, {"pii_replaced": False}]


def test_decontamination_removes_what_shares_an_n_gram_and_names_the_benchmark(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "bench.json.jsonl", [{"q": "What stood near", "a": SENTENCES[3]}])
    write_jsonl(tmp_path / "a.jsonl", [{"text": PROSE}, {"text": "Nothing of the kind stands here, my friend."}])
    against = {"quiz": {"path": "bench.json.jsonl", "text": "a", "keep": ["q"]}}
    artifact = curate({"path": "a.jsonl"}, steps=[step("decontaminate", against=against, query="q", n_grams=6)])
    assert texts(artifact) == ["Nothing of the kind stands here, my friend."]
    assert removed(artifact) == [(PROSE, "0-decontaminate", "an n-gram of quiz")]


def test_a_changed_model_or_benchmark_is_another_curation(tmp_path: Path) -> None:
    from curation.stage import CURATION

    write_jsonl(tmp_path / "a.jsonl", [{"text": PROSE}])
    steps = [step("decontaminate", against={"quiz": {"path": "bench.jsonl"}})]
    prints = []
    for text in ("one", "two", "one"):
        write_jsonl(tmp_path / "bench.jsonl", [{"text": text}])
        prints.append(CURATION.fingerprint(load(tmp_path, {"it": {"sources": [{"path": "a.jsonl"}]}}, steps=steps)))
    assert prints[0] == prints[2] != prints[1]


def test_the_manifest_says_what_every_step_was_and_found(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "You idiot."}])
    manifest = json.loads((curate({"path": "a.jsonl"}, steps=[SCORE, TAG]).path / "manifest.json").read_text())
    score, tag = manifest["steps"]
    assert score["name"] == "0-score" and score["scorer"].startswith("profanity@") and score["passage"] == 200
    assert score["languages"] == ["en"] and "implicit hate" in score["blind_spots"]
    assert tag["tagger"]["keep_at_or_above"] == 0.05 and tag["attributes"] == ["toxicity"]
