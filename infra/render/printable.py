"""What reaches the terminal: text from files, ids and names can move no cursor, set no title and end no message."""

from __future__ import annotations

from rich.console import Console

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)  # they show text in another order
_LINES = (0x2028, 0x2029)
_SURROGATES = range(0xD800, 0xE000)  # bytes of a file's name that are no UTF-8
_ESCAPES = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in (*_CONTROLS, *_DIRECTIONS, *_LINES, *_SURROGATES)
    if chr(code) not in "\n\t"
}


def printable(text: str) -> str:
    """`text` with control characters written out (`\\x1b`); line ends and tabs stay."""
    return text.translate(_ESCAPES)


def plain_console(stderr: bool = False, width: int | None = None) -> Console:
    """A console that takes text as it is: `[b]` and `:100:` are no markup."""
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)
