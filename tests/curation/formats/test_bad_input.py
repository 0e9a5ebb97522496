"""Bad input costs what is bad and no more, is counted, and past a stated share stops the job.

Covers curation.sources.readers, curation.sources.bad_lines and curation.pipeline.finish.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from curation.corpus.tagged import TaggedCorpus
from curation.spec import CurationSpec
from infra.errors import ConfigError, DataError, InputError, RanksFailed
from tests.helpers.corpora import Curate, load, write_jsonl


def lines(number: int) -> list[bytes]:
    return [json.dumps({"text": f"document number {n}"}).encode() for n in range(number)]


def quarantine(artifact: Path) -> list[dict]:
    return [json.loads(line) for line in (artifact / "quarantine.jsonl").read_text().splitlines()]


def test_one_invalid_byte_costs_one_line_and_is_told(tmp_path: Path, curate: Curate) -> None:
    data = lines(999)
    data[367] = b'{"text": "caf\xe9"}'
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(data))
    artifact = curate({"path": "a.jsonl"}, max_bad_share=0.002)
    assert artifact.counts["it"]["documents"] == 998
    (bad,) = quarantine(artifact.path)
    assert (bad["file"], bad["line"]) == ("a.jsonl", 368)
    assert bad["reason"] == "not UTF-8 (byte 0xe9 at column 14)"
    assert any("1 of 999 lines are bad" in note and "a.jsonl:368" in note for note in artifact.notes)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "cut', "not valid JSON"),
        (b'["a list"]', "a list where an object is needed"),
        (b'{"body": "x", "id": 3}', r'no key "text" \(there is: body, id\)'),
        (b'{"text": 12}', 'the text key "text" holds a int'),
    ],
)
def test_every_kind_of_bad_line_is_quarantined_with_its_reason(
    tmp_path: Path, curate: Curate, line: bytes, reason: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([*lines(3), line, *lines(3)]))
    with pytest.raises(DataError, match=f"a.jsonl:4: {reason}"):
        curate({"path": "a.jsonl", "strict": True}, max_bad_share=0)


def test_past_the_allowed_share_the_job_stops_and_shows_the_first_lines(tmp_path: Path, curate: Curate) -> None:
    data = lines(95) + [b"broken"] * 5
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(data))
    with pytest.raises(DataError, match=r"(?s)^a.jsonl:96: .*5 of 100 lines are bad, a share of 0.05.*0.01"):
        curate({"path": "a.jsonl"}, max_bad_share=0.01)
    assert not (tmp_path / "out").exists()
    assert curate({"path": "a.jsonl"}, max_bad_share=0.05).counts["it"] == {
        "documents": 95, "bad_lines": 5, "characters": 1700, "words": 285, "removed": 0,
    }  # fmt: skip


def test_a_file_that_begins_with_a_hundred_bad_lines_is_given_up_at_once(tmp_path: Path, curate: Curate) -> None:
    (tmp_path / "a.jsonl").write_text('{"body": "the key is another one"}\n' * 5000)
    with pytest.raises(
        RanksFailed, match=r'^a.jsonl:1: no key "text" \(there is: body\); so are the 99 lines after it'
    ):
        curate({"path": "a.jsonl", "strict": True}, max_bad_share=1)


@pytest.mark.parametrize(("key", "other"), [("text", "body"), ("id", "no")])
def test_a_file_none_of_whose_many_records_has_a_text_or_an_id_is_told(
    tmp_path: Path, curate: Curate, key: str, other: str
) -> None:
    records = [{"text": f"Number {n}.", "id": n} for n in range(300)]
    write_jsonl(tmp_path / "a.jsonl", [{other if name == key else name: v for name, v in r.items()} for r in records])
    with pytest.raises(RanksFailed, match=rf'^a.jsonl:1: no key "{key}" .*; so it is with all 300 records of the file'):
        curate({"path": "a.jsonl", "id": "id"})


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst"])
def test_a_truncated_file_names_itself_and_the_line(tmp_path: Path, curate: Curate, suffix: str) -> None:
    path = write_jsonl(tmp_path / f"a.{suffix}", [{"text": f"document number {n * 7919 % 10007}"} for n in range(9000)])
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(RanksFailed, match=rf"^a.{suffix}:\d+: the compressed file ends too early"):
        curate({"path": f"a.{suffix}"}, max_bad_share=1)
    assert not (tmp_path / "out").exists()


def test_what_only_claims_to_be_compressed_or_parquet_is_an_error(tmp_path: Path, curate: Curate) -> None:
    for name in ("a.jsonl.gz", "a.jsonl.zst", "a.parquet"):
        (tmp_path / name).write_bytes(b'{"text": "plain"}\n')
        with pytest.raises(RanksFailed, match=f"^{name}:1: damaged"):
            curate({"path": name})


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": ""}\n{"text": "  "}\n{"text": null}\n'])
def test_a_corpus_without_text_is_an_input_error(tmp_path: Path, curate: Curate, content: str) -> None:
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match="corpus it is empty"):
        curate({"path": "a.jsonl"})


def test_an_empty_file_among_others_does_no_harm(tmp_path: Path, curate: Curate) -> None:
    (tmp_path / "a.jsonl").write_text("")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b"\n".join(lines(2))))
    artifact = curate({"path": "*.jsonl*"})
    texts = [document.text for document in TaggedCorpus.open(artifact.path, "it").documents()]
    assert texts == ["document number 0", "document number 1"]


def test_invalid_utf8_in_a_text_file_names_the_line_it_stands_in(tmp_path: Path, curate: Curate) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nfine too\nnot \xff fine\n")
    with pytest.raises(DataError, match=r"^a.txt:3: not UTF-8 \(byte 0xff at column 19\)"):
        curate({"path": "a.txt", "documents": "file"}, max_bad_share=0)
    with pytest.raises(DataError, match=r"^a.txt:3: not UTF-8 \(byte 0xff at column 5\)"):
        curate({"path": "a.txt"}, max_bad_share=0)


@pytest.mark.parametrize(
    ("corpora", "settings", "message"),
    [
        ({"it": {"sources": [{"path": "a.jsonl", "texts": "x"}]}}, {}, r"sources\[0\].texts: unknown key.*text"),
        ({"it": {"sources": []}}, {}, "sources"),
        ({"i t": {"sources": [{"path": "a.jsonl"}]}}, {}, 'corpus name "i t"'),
        ({"it": {"sources": [{"path": "wheel:toy/x"}]}}, {}, "write it as wheel:NAME==VERSION"),
        ({"it": {"sources": [{"path": "wheel:toy==1/a/../../x"}]}}, {}, "goes down only"),
        ({"it": {"sources": [{"path": "hf://datasets/allenai/c4/*.gz"}]}}, {}, "is hf:ORG/DATASET"),
        ({"it": {"sources": [{"path": "synthetic:forum", "documents": 0, "sentences": []}]}}, {}, "documents"),
        ({"it": {"sources": [{"path": "synthetic:chat"}]}}, {}, "the only synthetic source"),
        (
            {"it": {"sources": [{"path": "a.jsonl"}]}},
            {"steps": [{"step": "score", "scorer": {"name": "profanit"}}]},
            r"steps\[0\].scorer",
        ),
        (
            {"it": {"sources": [{"path": "a.jsonl"}]}},
            {"steps": [{"step": "score", "scorer": {"name": "detoxify", "config": "x"}}]},
            "go together",
        ),
        ({"it": {"sources": [{"path": "a.jsonl"}]}}, {"max_bad_share": 1.5}, "max_bad_share"),
    ],
)
def test_wrong_yaml_is_told_with_its_place(tmp_path: Path, corpora: dict, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, corpora, **settings)
    assert "job.yaml:" in str(caught.value)


def test_the_yaml_section_has_a_schema_with_every_description() -> None:
    definitions = CurationSpec.model_json_schema()["$defs"]
    assert {"SourceSpec", "ForumSpec", "CorpusSpec", "DetoxifySpec", "ProfanitySpec"} <= definitions.keys()
    assert "wildcards" in definitions["SourceSpec"]["properties"]["path"]["description"]
