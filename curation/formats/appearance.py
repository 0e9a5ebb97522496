"""What a file is that is not what its name says, told by its first bytes: a pointer, an error page, another format."""

from __future__ import annotations

import re

HEAD = 4096
"""Bytes of a file's beginning that are looked at."""


class _Forms:
    """Beginnings of files, each with its name; one expression looks for all of them."""

    def __init__(self, forms: dict[bytes, str]) -> None:
        self._names = tuple(forms.values())
        self._any = re.compile(b"|".join(b"(%s)" % form for form in forms))

    def name(self, head: bytes) -> str:
        """Name of the first form that `head` has; '' where it has none."""
        match = self._any.match(head)
        return "" if match is None else self._names[(match.lastindex or 0) - 1]


_FOREIGN = _Forms({
    rb"version https://git-lfs\.github\.com/spec/": "a Git LFS pointer: the file itself is not here (`git lfs pull`)",
    rb"\.\.?/[^\s\x00]+\Z": "a link that was written out as text (git without links?)",
    rb"/annex/objects/": "a git-annex pointer: the file itself is not here (`git annex get`)",
    rb"\x1f\x8b\x08": "gzip: unpack it, or name it .gz",
    rb"\x28\xb5\x2f\xfd": "Zstandard: unpack it, or name it .zst",
    rb"PAR1(?:[\x00-\x1f]|\Z)": "Parquet: name it .parquet",
    rb"ARROW1\x00": "an Arrow file: write it as Parquet",
    rb"PK(?:\x03\x04|\x05\x06)": "a zip archive: unpack it",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P)": "bzip2: unpack it",
    rb"\xfd7zXZ\x00": "xz: unpack it",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    rb"\x04\x22\x4d\x18": "LZ4: unpack it",
    rb"%PDF-\d": "a PDF",
    rb"SQLite format 3\x00": "an SQLite database",
    rb"\x89HDF\r\n": "HDF5",
    rb"Obj\x01": "Avro",
    rb"\x80[\x02-\x05][\x80-\xff(}\])]": "a Python pickle",
    rb"\x7fELF|MZ\x90\x00": "a program",
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a": "a picture",
})  # fmt: skip
_SERVER = "such as a server sends in place of a file that is not to be had"
_PAGES = _Forms({
    rb"\s*<(?i:!doctype\s+html|(?:html|head|body)\b)": f"an HTML page, {_SERVER}",
    rb"\s*(?:<\?xml[^>]*>\s*)?<Error>": f"an XML error message, {_SERVER}",
})  # fmt: skip
_OTHER = _Forms({
    rb"\s*<(?:\?xml|rss|feed)\b": "XML",
    rb'\s*\{\s*"(?:[Ee]rrors?|[Mm]essage|detail)"\s*:': f"an error message in JSON, {_SERVER}",
    rb'\s*\[\s*[\[{"\d\]tfn-]': "a JSON array: write its objects a line each (`jq -c '.[]' FILE`)",
    rb"\s*\{(?:[^\n]*[\[{,])?\s*(?:\n|\Z)": "JSON over several lines: write each object as one (`jq -c . FILE`)",
    rb"WARC/\d": "a WARC file: extract its texts first",
})  # fmt: skip


def foreign(head: bytes) -> str:
    """What a file is that can be no text, whatever its lines look like; '' where nothing speaks against text."""
    if b"\0" not in head and head[:1] in b'{"':
        return ""  # JSON Lines, and no form begins so
    return _FOREIGN.name(head) or (_by_nuls(head[:HEAD]) if full_of_nuls(head[:HEAD]) else "")


def foreign_or_page(head: bytes) -> str:
    """The same, and a server's answer that was saved under the name of a file: its lines are text, but not that."""
    return foreign(head) or _PAGES.name(head)


def appearance(head: bytes) -> str:
    """What a file of which nothing can be read looks like; '' where nobody knows."""
    return foreign(head) or another(head)


def another(head: bytes) -> str:
    """The format that a file has which should be of one that is not text; '' where it begins like none of those."""
    return _FOREIGN.name(head) or _PAGES.name(head) or _OTHER.name(head)


def full_of_nuls(data: bytes) -> bool:
    """Whether so many bytes are 0 that these are characters of two or four bytes, or no text at all.

    Cyrillic in UTF-16 without its mark is valid UTF-8 whose only 0 bytes are in spaces and line ends, about 8 %.
    """
    nuls = data.count(0)
    return nuls > 0 and (10 * nuls > len(data) or nuls > 2 + len(data) // 50)


def _by_nuls(head: bytes) -> str:
    nuls, even = head.count(0), head[::2].count(0)
    odd = nuls - even
    if 2 * nuls > len(head) + 8:
        name = "UTF-32BE" if head[::4].count(0) > head[3::4].count(0) else "UTF-32LE"
    elif max(even, odd) > 3 * min(even, odd):
        name = "UTF-16BE" if even > odd else "UTF-16LE"
    else:
        return "binary data (it is full of NULs)"
    return f"{name} without a byte order mark: convert it (`iconv -f {name} -t UTF-8 FILE`)"
