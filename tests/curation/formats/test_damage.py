"""Damaged and outsized input: what is whole arrives, what is not is named, and nothing is silent.

Covers curation.formats.lines, curation.formats.encodings, curation.sources.readers, curation.sources.read and
curation.shards.parquet_rows.
"""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curation.corpus.records import BadLine, RawDocument
from curation.corpus.tagged import TaggedCorpus
from curation.sources.input_files import input_files_of
from curation.sources.read import read_input_file
from curation.sources.spec import SourceSpec
from infra.errors import DataError, InputError, JobError, RanksFailed
from tests.helpers.corpora import SCORE, TAG, Curate, write_jsonl

LINES = [json.dumps({"text": f"document number {n} " + "x" * (n * 7 % 30)}) for n in range(60)]
TEXTS = [json.loads(line)["text"] for line in LINES]


def read(path: Path, **options: Any) -> tuple[list[str], list[BadLine], list[tuple[RawDocument, str]]]:
    """Texts, bad lines and what was left out, of a file that may be damaged."""
    bad: list[BadLine] = []
    skipped: list[tuple[RawDocument, str]] = []
    source = SourceSpec(path=str(path), **options)
    input_files = input_files_of(source, 0)
    documents = (
        document
        for input_file in input_files
        for document in read_input_file(input_file, bad.append, lambda *left: skipped.append(left), True)
    )
    return [document.text for document in documents], bad, skipped


def texts(artifact: Any) -> list[str]:
    return [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()]


def quarantine(artifact: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifact.path / "quarantine.jsonl").read_text().splitlines()]


MUTATION = st.tuples(st.integers(0, 10**6), st.integers(0, 255))
FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def mutate(data: bytes, mutation: tuple[int, int]) -> tuple[bytes, int]:
    position = mutation[0] % len(data)
    return data[:position] + bytes([mutation[1]]) + data[position + 1 :], position


@FUZZ
@given(mutation=MUTATION)
def test_a_changed_byte_costs_at_most_the_lines_that_it_touches(tmp_path: Path, mutation: tuple[int, int]) -> None:
    """Every line of the changed file is a document, a bad line or left out, and no untouched line is lost."""
    data, position = mutate("\n".join(LINES).encode(), mutation)
    (tmp_path / "a.jsonl").write_bytes(data)
    documents, bad, skipped = read(tmp_path / "a.jsonl")
    touched = "\n".join(LINES)[:position].count("\n")
    untouched = [text for number, text in enumerate(TEXTS) if number not in (touched, touched + 1)]
    assert [text for text in documents if text in untouched] == untouched
    assert len(documents) + len(bad) + len(skipped) == sum(1 for line in data.split(b"\n") if line.strip())


@FUZZ
@given(mutation=MUTATION, suffix=st.sampled_from(["gz", "zst"]))
def test_a_changed_byte_of_a_compressed_file_is_told_and_what_stands_before_arrives(
    tmp_path: Path, mutation: tuple[int, int], suffix: str
) -> None:
    """The file has a member of its own for every twenty documents; those before the damaged one arrive."""
    pack: Callable[[bytes], bytes] = {
        "gz": lambda data: gzip.compress(data, mtime=0),
        "zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    }[suffix]
    members = [pack("".join(line + "\n" for line in LINES[start : start + 20]).encode()) for start in (0, 20, 40)]
    data, position = mutate(b"".join(members), mutation)
    (tmp_path / f"a.jsonl.{suffix}").write_bytes(data)
    documents, bad, _ = read(tmp_path / f"a.jsonl.{suffix}")
    assert documents == TEXTS or bad, "a document was lost or changed, and nothing was said"
    whole = 0 if position < len(members[0]) else 20 if position < len(members[0]) + len(members[1]) else 40
    assert documents[:whole] == TEXTS[:whole]


@FUZZ
@given(mutation=MUTATION)
@example(mutation=(1104, ord("T")))  # in the footer, which has no checksum: the column is another one
def test_a_changed_byte_of_a_parquet_file_costs_at_most_its_row_group(
    tmp_path: Path, mutation: tuple[int, int]
) -> None:
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": TEXTS}), file, row_group_size=20, write_page_checksum=True)
    about = pq.read_metadata(file)
    chunks = [about.row_group(group).column(0) for group in range(3)]
    starts = [chunk.dictionary_page_offset or chunk.data_page_offset for chunk in chunks]
    data, position = mutate(file.read_bytes(), mutation)
    file.write_bytes(data)
    footer = starts[2] + chunks[2].total_compressed_size
    try:
        documents, bad, _ = read(file)
    except InputError as error:  # another name, or none, for the column: no row of it is read
        assert "no column" in str(error) and position >= footer
        return
    assert documents == TEXTS or bad, "a document was lost or changed, and nothing was said"
    if starts[0] <= position < footer:
        group = sum(position >= start for start in starts) - 1
        others = [text for number, text in enumerate(TEXTS) if number // 20 != group]
        assert [text for text in documents if text in others] == others


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "parquet"])
def test_of_a_truncated_file_what_is_whole_arrives_where_that_is_asked_for(
    tmp_path: Path, curate: Curate, suffix: str
) -> None:
    write_jsonl(tmp_path / "b.jsonl", [{"text": "of the other file"}])
    records = [{"text": f"document number {n * 7919 % 10007}"} for n in range(9000)]
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    else:
        write_jsonl(tmp_path / f"a.{suffix}", records)
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(RanksFailed, match=rf"^a.{suffix}:\d+: (the compressed file ends too early|damaged Parquet)"):
        curate({"path": "[ab].*"}, steps=[])
    artifact = curate({"path": "[ab].*"}, steps=[], damaged_files="keep", max_bad_share=0.5)
    stored = texts(artifact)
    assert stored[-1] == "of the other file" and stored[:-1] == [row["text"] for row in records[: len(stored) - 1]]
    assert len(stored) >= (1 if suffix == "parquet" else 1000)  # a Parquet file without its footer is lost
    (bad,) = quarantine(artifact)
    assert (bad["file"], bad["line"]) == (f"a.{suffix}", len(stored)) and "what follows is lost" in bad["reason"]


def test_empty_texts_are_left_out_and_named(tmp_path: Path, curate: Curate) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": " \n"}, {"text": None}, {"text": "two"}])
    artifact = curate({"path": "a.jsonl"})
    assert texts(artifact) == ["one", "two"] and quarantine(artifact) == []
    rows = pq.read_table(artifact.path / "excluded" / "it" / "00000.parquet").to_pylist()
    assert [(row["id"], row["reason"]) for row in rows] == [
        ("0/a.jsonl:2", "empty text"), ("0/a.jsonl:3", "empty text"),
    ]  # fmt: skip


def test_a_line_of_fifty_megabytes_and_a_document_of_five_million_words_arrive(tmp_path: Path, curate: Curate) -> None:
    long, wordy = "x" * 50_000_000, "a word " * 2_500_000
    write_jsonl(tmp_path / "a.jsonl", [{"text": "before"}, {"text": long}, {"text": wordy}, {"text": "after"}])
    stored = texts(curate({"path": "a.jsonl"}, steps=[]))
    assert stored[0] == "before" and stored[1] == long and stored[2] == wordy and stored[3] == "after"


def test_a_line_beyond_what_is_held_in_memory_is_named_and_costs_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.formats.lines.LONGEST", 1000)
    monkeypatch.setattr("curation.formats.lines._FIRST", 300)
    monkeypatch.setattr("curation.sources.input_files._SMALL", 0)  # else it is read in one go
    write_jsonl(tmp_path / "a.jsonl", [{"text": text} for text in ("before", "x" * 5000, "after", "y" * 2000)])
    documents, bad, _ = read(tmp_path / "a.jsonl")
    assert documents == ["before", "after"] and [line.line for line in bad] == [2, 4]
    assert "a line of more than" in bad[0].reason


def test_a_text_file_too_long_for_one_document_is_named_and_paragraphs_after_a_long_one_arrive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.sources.readers.LONGEST", 100)
    (tmp_path / "a.txt").write_text("one\n\n\n" + "long line\n" * 50 + "\ntwo\nlines\n")
    documents, bad, skipped = read(tmp_path / "a.txt", documents="paragraph")
    assert (documents, [line.line for line in bad], skipped) == (["one", "two\nlines"], [4], [])
    assert read(tmp_path / "a.txt", documents="file")[0] == []


def test_scores_and_spans_of_a_very_long_document_are_those_of_its_parts(tmp_path: Path, curate: Curate) -> None:
    """Longer than a tagger sees at once and than one call of the scorer holds, with no line end to cut at."""
    sentence = "The committee met and you idiot were there. "
    text = sentence * 12_000
    write_jsonl(tmp_path / "a.jsonl", [{"text": text}, {"text": sentence}])
    long, short = TaggedCorpus.open(curate({"path": "a.jsonl"}, steps=[SCORE, TAG]).path, "it").documents()
    (span,) = [span for span in short.spans or () if span.score > 0.5]
    rude = [span for span in long.spans or () if span.score > 0.5]
    assert [rude_span.start for rude_span in rude] == [span.start + n * len(sentence) for n in range(12_000)]
    assert {text[rude_span.start : rude_span.end] for rude_span in rude} == {"idiot"}
    assert long.scores["toxicity"] >= short.scores["toxicity"] - 1e-6


def test_strange_characters_keep_their_offsets_and_impossible_ones_are_named(tmp_path: Path, curate: Curate) -> None:
    strange = ["nul \0 idiot", "👩‍👩‍👧 idiot 😀", "שלום idiot עולם", "e\u0301 idiot", "\u202eidiot\u202c", "𝒳 idiot"]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in strange]
    lines += [r'{"text": "half a pair \ud83d"}', '{"text": "raw nul \0"}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    artifact = curate({"path": "a.jsonl"}, steps=[TAG | {"unscored": "leave"}], max_bad_share=1)
    documents = list(TaggedCorpus.open(artifact.path, "it").documents())
    assert [document.text for document in documents] == strange
    assert documents[0].spans is None  # of what holds NULs nothing is known
    for document in documents[1:]:
        assert [document.text[s.start : s.end] for s in document.spans or () if s.score > 0.5] == ["idiot"]
    assert [bad["line"] for bad in quarantine(artifact)] == [7, 8]


def test_ids_that_several_documents_share_are_named_and_all_of_them_arrive(tmp_path: Path, curate: Curate) -> None:
    for number, ids in enumerate((["a", "b", "a"], ["c", "b"])):
        write_jsonl(tmp_path / f"{number}.jsonl", [{"id": name, "text": f"text {name}"} for name in ids])
    artifact = curate({"path": "*.jsonl", "id": "id"}, steps=[])
    assert len(texts(artifact)) == 5
    rows = [json.loads(line) for line in (artifact.path / "shared_ids" / "it.jsonl").read_text().splitlines()]
    assert rows == [
        {"id": "a", "places": ["00000.parquet:0", "00000.parquet:2"]},
        {"id": "b", "places": ["00000.parquet:1", "00001.parquet:1"]},
    ]
    assert any("2 ids belong to several documents" in note for note in artifact.notes)


def test_a_file_that_vanishes_while_others_are_read_is_named_and_the_others_are_done(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.pipeline import passes

    for name in ("a", "b"):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"text": name}])
    listed = passes.pieces_of

    def gone(*arguments: Any) -> Any:
        names = listed(*arguments)
        (tmp_path / "a.jsonl").unlink()
        return names

    monkeypatch.setattr(passes, "pieces_of", gone)
    with pytest.raises(RanksFailed, match=r"a\.jsonl: it was there when the run began, and is gone.*1 of 2 ranks"):
        curate({"path": "*.jsonl"}, steps=[])
    assert len(list(tmp_path.glob(".out.*.partial/corpora/it/*.parquet"))) == 1


def test_a_full_disk_is_one_clear_message(tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}])

    def full(*arguments: Any, **named: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    with monkeypatch.context() as patched:
        patched.setattr("curation.shards.parquet_rows.RowsWriter.rename", full)
        with pytest.raises(RanksFailed, match="No space left on device"):
            curate({"path": "a.jsonl"}, steps=[])
    monkeypatch.setattr("curation.pipeline.finish.write_json", full)
    with pytest.raises(JobError, match=r"No space left on device.*make room and run the same command again"):
        curate({"path": "a.jsonl"}, steps=[])


def test_a_bucket_that_cannot_be_read_is_one_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    class Closed:
        protocol = "s3"

        def glob(self, path: str, detail: bool) -> dict[str, Any]:
            raise RuntimeError("Unable to locate\ncredentials")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Closed(), "bucket/a.jsonl"))
    with pytest.raises(InputError, match=r"s3://bucket/a.jsonl: cannot be listed: Unable to locate credentials"):
        input_files_of(SourceSpec(path="s3://bucket/a.jsonl"), 0)


def test_metadata_that_json_cannot_hold_is_made_plain_or_named(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    rows = {"text": ["one", "two"], "when": [datetime(2026, 1, 2, tzinfo=UTC)] * 2, "n": [float("nan"), 1.5]}
    pq.write_table(pa.table(rows | {"raw": [b"\xff", b"x"]}), tmp_path / "a.parquet")
    source = SourceSpec(path=str(tmp_path / "a.parquet"), keep=("when", "n"))
    metadata = [
        document.metadata
        for input_file in input_files_of(source, 0)
        for document in read_input_file(input_file, lambda bad: None)
    ]
    assert metadata == [
        {"when": "2026-01-02 00:00:00+00:00", "n": None},
        {"when": "2026-01-02 00:00:00+00:00", "n": 1.5},
    ]
    _, bad, _ = read(tmp_path / "a.parquet", keep=("raw",))
    assert [line.reason for line in bad] == ['the key "raw" holds a bytes, which cannot be kept'] * 2


def test_past_the_default_share_of_one_in_a_thousand_the_job_stops(tmp_path: Path, curate: Curate) -> None:
    for good, stops in ((999, False), (998, True)):
        (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' * good + "broken\n")
        if stops:
            with pytest.raises(DataError, match=r"(?s)a.jsonl:999: .*max_bad_share is 0.001"):
                curate({"path": "a.jsonl"}, steps=[])
        else:
            assert curate({"path": "a.jsonl"}, steps=[]).counts["it"]["documents"] == 999
