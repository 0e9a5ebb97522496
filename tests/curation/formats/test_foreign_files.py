"""A file that is not what its name says stops the run, whatever lies beside it, and is told by what it looks like.

Covers curation.formats.appearance and curation.formats.lines.
"""

from __future__ import annotations

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from curation.corpus.records import BadLine
from curation.corpus.tagged import TaggedCorpus
from curation.sources.input_files import input_files_of
from curation.sources.read import read_input_file
from curation.sources.spec import SourceSpec
from infra.errors import DataError, RanksFailed
from tests.helpers.corpora import Curate, write_jsonl

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b'\n<!DOCTYPE html>\n<html><body>\n{"text": "a"}\n<p>404</p>\n</body></html>\n'
DENIED = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
ARRAY = json.dumps([{"text": f"document {n}"} for n in range(500)]).encode()
SPREAD = json.dumps([{"text": f"document {n}"} for n in range(3)], indent=1).encode()
PACKED = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def read(path: Path, **options: Any) -> tuple[list[str], list[BadLine]]:
    """Texts and bad lines of a file, where damaged files are kept."""
    bad: list[BadLine] = []
    input_files = input_files_of(SourceSpec(path=str(path), **options), 0)
    return [
        document.text for input_file in input_files for document in read_input_file(input_file, bad.append, None, True)
    ], bad


def among_good(folder: Path, name: str, data: bytes) -> dict[str, str]:
    """A source in which this file lies beside two thousand good lines."""
    write_jsonl(folder / "data" / "good.jsonl", [{"text": f"good line {n}"} for n in range(2000)])
    (folder / "data" / name).write_bytes(data)
    return {"path": "data/*"}


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("packed", PACKED)
def test_a_byte_order_mark_says_how_a_file_is_read(tmp_path: Path, codec: str, packed: str) -> None:
    texts = ["grün 😀 one", "two", "三"]
    mark = getattr(codecs, f"BOM_{codec.upper().replace('-', '_')}".replace("_16_", "16_").replace("_32_", "32_"), b"")
    for name, content in (
        ("a.jsonl", "".join(json.dumps({"text": text}, ensure_ascii=False) + "\r\n" for text in texts)),
        ("a.txt", "\r\n".join(texts)),
    ):
        file = tmp_path / f"{name}{packed}"
        file.write_bytes(PACKED[packed](mark + content.encode(codec)))
        assert read(file) == (texts, [])


def test_marks_inside_a_file_of_several_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\n' * 2)
    assert read(tmp_path / "a.jsonl") == (["a", "a"], [])


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.txt.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("text", ["a plain text", "простой русский текст"])
def test_wide_characters_without_a_mark_are_refused_by_name(
    tmp_path: Path, curate: Curate, name: str, codec: str, text: str
) -> None:
    pack = PACKED[next((end for end in PACKED if end and name.endswith(end)), "")]
    content = "".join(f"{text}\n" if "txt" in name else f'{{"text": "{text}"}}\n' for _ in range(40))
    source = among_good(tmp_path, name, pack(content.encode(codec)))
    with pytest.raises(RanksFailed, match=rf"^{name}:1: .*it looks like {codec.upper().replace('-', '.?', 1)[:6]}"):
        curate(source, steps=[], max_bad_share=1, damaged_files="keep")


def test_a_broken_half_of_a_utf16_pair_costs_its_line_and_a_cut_file_is_damaged(tmp_path: Path) -> None:
    content = "one\ntwo \ud800 half\nthree\n".encode("utf-16-le", "surrogatepass")
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF16_LE + content)
    texts, bad = read(tmp_path / "a.txt")
    assert (texts, [line.line for line in bad]) == (["one", "three"], [2])
    (tmp_path / "a.txt").write_bytes(codecs.BOM_UTF16_LE + content[:-1])
    with pytest.raises(DataError, match=r"a.txt:3: damaged utf-16-le"):
        list(read_input_file(input_files_of(SourceSpec(path=str(tmp_path / "a.txt")), 0)[0], lambda bad: None))


def test_nuls_that_begin_in_mid_file_cost_their_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good line\n" * 3000 + "wide\nwider".encode("utf-16-le"))
    texts, bad = read(tmp_path / "a.txt")
    assert len(texts) == 3000 and {line.reason for line in bad} == {"full of NULs, as UTF-16 is: not UTF-8"}


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize(
    ("suffix", "data", "looks"),
    [
        ("jsonl", POINTER, "a Git LFS pointer"),
        ("txt", POINTER, "a Git LFS pointer"),
        ("jsonl", PAGE.replace(b'{"text": "a"}\n', b""), "an HTML page"),
        ("txt", PAGE, "an HTML page"),
        ("jsonl", DENIED, "an XML error message"),
        ("txt", DENIED, "an XML error message"),
        ("jsonl", b'{"error": "Entry not found"}', "an error message in JSON"),
        ("json", ARRAY, "a JSON array"),
        ("jsonl", SPREAD, "JSON over several lines|a JSON array"),
        ("json", b'[\n{"text": "a"},\n{"text": "b"}\n]\n', "JSON over several lines"),
        ("json", b'{"data": [\n{"text": "a"},\n{"text": "b"}]}\n', "JSON over several lines"),
        ("json", b'{\n "text": "a"\n}\n', "JSON over several lines"),
        ("txt", b"\x1f\x8b\x08\x00 and so on", "gzip"),
        ("txt", b"../blobs/aaa111", "a link that was written out as text"),
        ("jsonl", b"no JSON at all", "nothing else of the file can be read"),
        ("ndjson", b'{"body": "x"}\n' * 100, 'no key "text"'),
    ],
)
def test_a_file_of_which_nothing_can_be_read_stops_the_run_beside_good_ones(
    tmp_path: Path, curate: Curate, packed: str, suffix: str, data: bytes, looks: str
) -> None:
    name = f"bad.{suffix}{packed}"
    source = among_good(tmp_path, name, PACKED[packed](data))
    with pytest.raises(RanksFailed, match=rf"(?s)^{name}:\d+: .*({looks})"):
        curate(source, steps=[], max_bad_share=1, damaged_files="keep")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["bad.parquet", "bad.jsonl.gz", "bad.txt.zst"])
@pytest.mark.parametrize(("data", "looks"), [(POINTER, "a Git LFS pointer"), (PAGE, "an HTML page"), (DENIED, "XML")])
def test_what_stands_in_place_of_a_packed_file_stops_the_run_though_damaged_ones_are_kept(
    tmp_path: Path, curate: Curate, name: str, data: bytes, looks: str
) -> None:
    with pytest.raises(RanksFailed, match=rf"^{name}:1: .*{looks}"):
        curate(among_good(tmp_path, name, data), steps=[], max_bad_share=1, damaged_files="keep")


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1PAR1", b"PAR1" + bytes(4) + b"PAR1", b"", b"\x00" * 500])
def test_a_parquet_file_without_rows_to_read_stops_the_run(tmp_path: Path, curate: Curate, data: bytes) -> None:
    with pytest.raises(RanksFailed, match=r"^bad\.parquet:1: damaged Parquet file"):
        curate(among_good(tmp_path, "bad.parquet", data), steps=[], max_bad_share=1)


def test_a_page_in_a_text_file_is_read_where_texts_are_html_and_an_empty_file_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"<html><body>Hello</body></html>")
    (tmp_path / "b.jsonl").write_bytes(b"")
    assert read(tmp_path / "a.txt", html=True, documents="file") == (["Hello"], [])
    assert read(tmp_path / "b.jsonl") == ([], [])


def test_a_first_line_that_is_a_list_or_broken_costs_only_itself(tmp_path: Path) -> None:
    for first in (b"[1, 2]", b"[", b"{", b'{"text": "cut,'):
        (tmp_path / "a.jsonl").write_bytes(first + b'\n{"text": "a"}\n{"text": "b"}\n')
        texts, bad = read(tmp_path / "a.jsonl")
        assert (texts, [line.line for line in bad]) == (["a", "b"], [1])


def damaged_strings(file: Path, texts: list[str], row: int, **options: Any) -> None:
    """A Parquet file in which the text of one row is not UTF-8."""
    data = [text.encode() for text in texts]
    data[row] = b"caf\xe9"
    column = pa.array(data, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": column, "n": list(range(len(data)))}), file, **options)


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_parquet_string_that_is_not_utf8_costs_its_row(tmp_path: Path, curate: Curate, dictionary: bool) -> None:
    texts = [f"document {n}" for n in range(5000)]
    damaged_strings(tmp_path / "a.parquet", texts, 10, use_dictionary=dictionary)
    artifact = curate({"path": "a.parquet"}, steps=[])
    corpus = TaggedCorpus.open(artifact.path, "it")
    assert [document.text for document in corpus.documents()] == texts[:10] + texts[11:]
    (bad,) = [json.loads(line) for line in (artifact.path / "quarantine.jsonl").read_text().splitlines()]
    assert (bad["file"], bad["line"], bad["lines"]) == ("a.parquet", 11, 1) and bad["reason"].startswith("not UTF-8")


def test_a_value_that_python_cannot_hold_costs_its_row(tmp_path: Path) -> None:
    days = pa.array([1, 10**8, 2], pa.int64()).cast(pa.timestamp("s")).cast(pa.timestamp("ms"))
    far = pa.array([1, 10**15, 2], pa.int64()).cast(pa.timestamp("ms"))
    pq.write_table(pa.table({"text": ["a", "b", "c"], "when": far, "day": days}), tmp_path / "a.parquet")
    texts, bad = read(tmp_path / "a.parquet", keep=("when",))
    assert (texts, [line.line for line in bad]) == (["a", "c"], [2])


def test_a_damaged_page_is_counted_by_the_rows_that_it_costs(tmp_path: Path, curate: Curate) -> None:
    file = tmp_path / "a.parquet"
    texts = [f"document {n * 7919 % 10007}" for n in range(3000)]
    pq.write_table(pa.table({"text": texts}), file, row_group_size=1000, write_page_checksum=True, use_dictionary=False)
    offset = pq.read_metadata(file).row_group(1).column(0).data_page_offset + 200
    data = bytearray(file.read_bytes())
    data[offset] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(DataError, match="1000 of 3000 lines are bad"):
        curate({"path": "a.parquet"}, steps=[], damaged_files="keep")
    artifact = curate({"path": "a.parquet"}, steps=[], damaged_files="keep", max_bad_share=0.4)
    stored = [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()]
    assert stored == texts[:1000] + texts[2000:] and artifact.counts["it"]["bad_lines"] == 1000
    assert any("1000 rows (1001 to 2000) cannot be read" in note for note in artifact.notes)


def test_rows_of_a_damaged_group_are_counted_once_though_several_shards_read_it(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.pipeline.split.CUT_ABOVE", 10)
    file = tmp_path / "a.parquet"
    damaged_strings(file, [f"document {n}" for n in range(300)], 299, row_group_size=300, write_page_checksum=True,
                    use_dictionary=False)  # fmt: skip
    offset = pq.read_metadata(file).row_group(0).column(0).data_page_offset + 200
    data = bytearray(file.read_bytes())
    data[offset] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(DataError, match="300 of 300 lines are bad"):
        curate({"path": "a.parquet"}, steps=[], damaged_files="keep", shard_documents=40)


def test_a_last_piece_whose_only_row_is_bad_does_not_make_the_file_unreadable(
    tmp_path: Path, curate: Curate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curation.pipeline.split.CUT_ABOVE", 10)
    damaged_strings(tmp_path / "a.parquet", [f"document {n}" for n in range(41)], 40)
    artifact = curate({"path": "a.parquet"}, steps=[], shard_documents=40, max_bad_share=0.1)
    assert (artifact.counts["it"]["documents"], artifact.counts["it"]["bad_lines"]) == (40, 1)
