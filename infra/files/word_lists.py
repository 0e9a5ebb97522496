"""Files of words: one word or phrase a line."""

from __future__ import annotations

import codecs
import zlib

from infra.errors import InputError
from infra.files.remote import located


def listed_words(location: str) -> list[str]:
    """Words and phrases of a file or URL in UTF-8, compressed or not, without white space around them; empty lines and
    lines that begin with `#` are left out.

    Raises InputError with file:line for what is no text, UnavailableError naming the extra that a URL needs.
    """
    lines = _content(location).removeprefix(codecs.BOM_UTF8).splitlines()
    texts = [_text(line, f"{location}:{number}") for number, line in enumerate(lines, 1)]
    return [word for text in texts if not text.startswith("#") and (word := text.strip())]


def _content(location: str) -> bytes:
    filesystem, path = located(location)
    try:
        with filesystem.open(path, "rb", compression="infer") as file:
            content: bytes = file.read()
    except (OSError, EOFError, zlib.error) as error:  # the latter two are those of a damaged .gz
        raise InputError(f"{location}: cannot be read as a list of words: {error}") from None
    return content


def _text(line: bytes, where: str) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 (byte 0x{line[error.start]:02x} at column {error.start + 1})") from None
    if "\0" in text:
        raise InputError(f"{where}: NUL characters: not text, or in another encoding")
    return text
