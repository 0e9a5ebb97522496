"""A file of words is read as its author means it, or refused at its line.

Covers infra.files.word_lists.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from infra.errors import InputError
from infra.files.word_lists import listed_words


def test_remarks_empty_lines_and_white_space_around_words_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes("\ufeff# by nobody\r\nidiot\r\n\r\n  \r\n  shut   up \r\nc#\r\n #tag".encode())
    assert listed_words(str(file)) == ["idiot", "shut   up", "c#", "#tag"]


def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes("\ufeffidiot\n".encode())
    assert listed_words(str(tmp_path / "words.txt")) == ["idiot"]


def test_a_compressed_list_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    packed = gzip.compress(b"idiot\nfool\n")
    (tmp_path / "words.txt.gz").write_bytes(packed)
    assert listed_words(str(tmp_path / "words.txt.gz")) == ["idiot", "fool"]
    (tmp_path / "words.txt.gz").write_bytes(packed[:-9])
    with pytest.raises(InputError, match=r"words.txt.gz: cannot be read as a list of words"):
        listed_words(str(tmp_path / "words.txt.gz"))


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"idiot\nf\xfcr\n", r"words.txt:2: not UTF-8 \(byte 0xfc at column 2\)"),
     ("idiot\n".encode("utf-16"), r"words.txt:1: not UTF-8 \(byte 0xff at column 1\)"),
     ("idiot\n".encode("utf-16-le"), r"words.txt:1: NUL characters: not text, or in another encoding")],
    ids=["latin-1", "utf-16", "utf-16 without a mark"],
)  # fmt: skip
def test_what_is_not_utf8_is_told_at_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(InputError, match=told):
        listed_words(str(tmp_path / "words.txt"))


def test_a_file_that_cannot_be_read_is_one_message(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(InputError, match=rf"^{path}: cannot be read as a list of words: "):
            listed_words(str(path))
    with pytest.raises(InputError, match=r"nowhere://words.txt: "):
        listed_words("nowhere://words.txt")
