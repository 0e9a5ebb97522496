"""One line of JSON, as programs write it: NaN and Infinity, which Python's json puts out, are null.

orjson keeps to the standard, and makes a float of a whole number beyond 64 bits; `exact_json` keeps all its digits, at
three times the cost.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

JSONDecodeError = orjson.JSONDecodeError
BEYOND = 2.0**63
"""Floats from here on, up or down, may have been whole numbers."""
# strings are matched so that a NaN within one stays; an unclosed one up to its end, so that none is looked at twice
_STRING_OR_CONSTANT = re.compile(rb'"(?:[^"\\]|\\.)*+"?|-?Infinity|NaN', re.DOTALL)


def json_value(line: bytes) -> Any:
    """The value of a line. Raises JSONDecodeError."""
    try:
        return orjson.loads(line)
    except JSONDecodeError:
        if b"NaN" not in line and b"Infinity" not in line:
            raise
    return orjson.loads(_STRING_OR_CONSTANT.sub(_null, line))


def exact_json(line: bytes) -> Any:
    """The value of a line that `json_value` reads. Raises RecursionError where it is nested some thousand deep."""
    return json.loads(line, parse_constant=lambda name: None)


def json_bytes(value: Any) -> bytes:
    """`value` in a line that ends, whatever the length of its numbers."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def beyond_64_bits(value: Any) -> bool:
    """Whether a value of `json_value` may be a whole number that has lost digits."""
    return isinstance(value, float) and math.isfinite(value) and abs(value) >= BEYOND


def _null(match: re.Match[bytes]) -> bytes:
    return match[0] if match[0].startswith(b'"') else b"null"
