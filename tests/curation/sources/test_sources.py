"""Sources: every kind gives its documents, and what cannot be read is told clearly.

Covers curation.sources.spec, curation.sources.input_files, curation.sources.read, curation.sources.readers,
curation.sources.hub and curation.sources.wheels.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.sources.input_files import content_of, input_files_of
from curation.sources.read import read_source
from curation.sources.spec import SourceSpec
from infra.errors import DataError, InputError, UnavailableError
from tests.helpers.corpora import write_jsonl


def texts(path: Path | str, **settings: object) -> list[str]:
    return [document.text for document in read_source(SourceSpec(path=str(path), **settings))]  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_json_lines_are_read_compressed_or_not(tmp_path: Path, suffix: str) -> None:
    path = write_jsonl(tmp_path / f"a.{suffix}", [{"text": "one"}, {"text": "zwei ü"}])
    assert texts(path) == ["one", "zwei ü"]


def test_reading_says_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import sys

    from loguru import logger

    handler = logger.add(sys.stderr)
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "fine"}])
    assert len(list(read_source(SourceSpec(path=str(path))))) == 1
    logger.remove(handler)
    assert capfd.readouterr().err == ""


def test_parquet_is_read_and_nulls_are_left_out(tmp_path: Path) -> None:
    table = pa.table({"doc": [{"body": "one"}, {"body": None}, {"body": "three"}], "n": [1, 2, 3]})
    pq.write_table(table, tmp_path / "a.parquet")
    documents = list(read_source(SourceSpec(path=str(tmp_path / "a.parquet"), text="doc.body", keep=("n",))))
    assert [(d.text, d.metadata, d.id) for d in documents] == [
        ("one", {"n": 1}, "0/a.parquet:1"), ("three", {"n": 3}, "0/a.parquet:3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ("line", ["One.", "Two.", "Three."]),
        ("paragraph", ["One.\nTwo.", "Three."]),
        ("file", ["One.\nTwo.\n\nThree."]),
    ],
)
def test_a_text_file_is_cut_into_lines_paragraphs_or_not_at_all(
    tmp_path: Path, documents: str, expected: list[str]
) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffOne.\nTwo.\n\nThree.\n".encode())
    assert texts(tmp_path / "a.txt", documents=documents) == expected


def test_dotted_keys_cuts_and_kept_metadata(tmp_path: Path) -> None:
    record = {"doc": {"query": "Title: T\nBackground: the text\nQuestion: why?", "n": 7}, "a.b": "dot", "key": "k1"}
    source = SourceSpec(path=str(write_jsonl(tmp_path / "a.jsonl", [record])), text="doc.query", id="key",
                        after="Background: ", before="\nQuestion:", keep=("doc.n", "a.b"))  # fmt: skip
    document = next(read_source(source))
    assert (document.id, document.text, document.metadata) == ("k1", "the text", {"doc.n": 7, "a.b": "dot"})


def test_unique_drops_exact_repeats_within_a_file_and_keeps_the_first(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": t} for t in ("x", "y", "x", "z", "y")])
    assert [d.id for d in read_source(SourceSpec(path=str(path), unique=True))] == [f"0/a.jsonl:{n}" for n in (1, 2, 4)]


def test_wildcards_match_in_sorted_order_and_ids_do_not_name_the_machine(tmp_path: Path) -> None:
    for name in ("b/x.jsonl", "a/y.jsonl", "a/x.jsonl"):
        write_jsonl(tmp_path / "deep" / name, [{"text": name}])
    documents = list(read_source(SourceSpec(path=str(tmp_path / "deep" / "**" / "*.jsonl"))))
    assert [d.text for d in documents] == ["a/x.jsonl", "a/y.jsonl", "b/x.jsonl"]
    assert [d.id for d in documents] == ["0/a/x.jsonl:1", "0/a/y.jsonl:1", "0/b/x.jsonl:1"]


def test_files_behind_a_url_are_read_through_fsspec(tmp_path: Path) -> None:
    import fsspec

    with fsspec.open("memory://bucket/part/a.jsonl", "w") as file:
        file.write('{"text": "from memory"}\n')
    assert texts("memory://bucket/**/*.jsonl") == ["from memory"]


def test_a_hugging_face_data_set_is_read_by_split(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "set" / "train.jsonl", [{"text": f"row {n}", "label": n} for n in range(3)])
    write_jsonl(tmp_path / "set" / "test.jsonl", [{"text": "held out", "label": 9}])
    source = SourceSpec(path=f"hf:{tmp_path}/set", keep=("label",))
    assert [(d.text, d.metadata["label"]) for d in read_source(source)] == [("row 0", 0), ("row 1", 1), ("row 2", 2)]
    assert [d.text for d in read_source(source.model_copy(update={"split": "test"}))] == ["held out"]
    assert str(tmp_path) not in next(read_source(source)).id


def test_a_hugging_face_data_set_that_cannot_be_had_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnavailableError, match=r"hf:nobody/nothing.*hf:FOLDER"):
        content_of(SourceSpec(path="hf:nobody/nothing"))


def test_files_inside_a_wheel_are_read_in_place(wheel: str) -> None:
    path = "wheel:toy-data==1.0/toy/**/*.jsonl.gz"
    source = SourceSpec(path=path, sha256=wheel, text="doc.passage", unique=True)
    documents = list(read_source(source))
    assert [d.text for d in documents] == ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2"]
    assert documents[1].id == "0/wheel:toy-data==1.0/toy/a/requests.jsonl.gz:3"
    assert texts("wheel:toy-data==1.0/toy/*.txt", sha256=wheel) == ["One prompt", "Another prompt"]


def test_a_wheel_with_another_checksum_is_refused_and_both_are_named(wheel: str) -> None:
    with pytest.raises(InputError, match=rf"expected sha256 {'0' * 64}, found {wheel}"):
        texts("wheel:toy-data==1.0/toy/*.txt", sha256="0" * 64)


def test_a_wheel_without_a_checksum_is_refused_and_told_which_one_it_has(wheel: str) -> None:
    with pytest.raises(InputError, match=f"needs its checksum; this one has sha256: {wheel}"):
        content_of(SourceSpec(path="wheel:toy-data==1.0/toy/*.txt"))


def test_a_wheel_that_cannot_be_downloaded_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path))
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path)), ("PIP_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    with pytest.raises(UnavailableError, match=r"hormesis-no-such-thing==9.9 cannot be downloaded: ERROR"):
        texts("wheel:hormesis-no-such-thing==9.9/x.txt", sha256="0" * 64)
    assert list((tmp_path / "wheels").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.jsonl", "no such file"),
        ("nothing-*.jsonl", "no file matches"),
        ("table.csv", "unknown format; the suffix must be one of"),
    ],
)
def test_what_is_not_there_or_not_known_is_an_input_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "table.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=message):
        input_files_of(SourceSpec(path=str(tmp_path / name)), 0)


def test_without_a_quarantine_a_bad_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"text": \n')
    with pytest.raises(DataError, match=r"^a.jsonl:2: not valid JSON"):
        texts(tmp_path / "a.jsonl")


def test_a_missing_parquet_column_names_the_columns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match='no column "text"; there are: body'):
        texts(tmp_path / "a.parquet")


def test_content_depends_on_bytes_and_settings_and_not_on_the_folder(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        write_jsonl(tmp_path / folder / "a.jsonl", [{"text": "same"}])
    write_jsonl(tmp_path / "other" / "a.jsonl", [{"text": "different"}])
    folders = ("here", "there", "other")
    here, there, other = (content_of(SourceSpec(path=str(tmp_path / name / "*.jsonl"))) for name in folders)
    assert here == there != other
    assert content_of(SourceSpec(path=str(tmp_path / "here" / "*.jsonl"), unique=True)) != here


def test_a_member_of_a_wheel_is_not_written_outside_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import zipfile

    from curation.sources.wheels import file_of
    from infra.artifacts.fingerprint import digest_file

    monkeypatch.setenv("HORMESIS_CACHE", str(tmp_path / "d" / "cache"))
    (tmp_path / "d/cache/wheels").mkdir(parents=True)
    wheel = tmp_path / "d/cache/wheels/evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("a/../../../../../escaped.txt", "out")
    for inner in ("a/../../../../../escaped.txt", "/escaped.txt", "a//../escaped.txt"):
        with pytest.raises(InputError, match="goes down only"):
            file_of(f"wheel:evil==1.0/{inner}", digest_file(wheel))
    assert not list(tmp_path.rglob("escaped.txt"))
