"""Lines of `hormesis score`: read as objects with a text, written with what was found, nothing overwritten."""

from __future__ import annotations

import json
import math
from typing import Any

from infra.errors import DataError

WRITTEN = ("scores", "spans", "unscored")
"""Keys that the filter writes. What a record brings under them is kept as `scores_before` and so on."""


def read_record(number: int, line: bytes) -> dict[str, Any] | None:
    """The object of a line, NaN and Infinity as null; None for an empty line. Raises DataError naming the line."""
    if not line.strip():
        return None
    try:
        record = json.loads(line, parse_constant=lambda name: None)
        if isinstance(record, dict) and isinstance(record.get("text"), str):
            record["text"].encode()  # a lone surrogate is no text
            return record
    except RecursionError:
        raise _too_deep(number) from None
    except UnicodeEncodeError as error:
        raise DataError(f"standard input:{number}: the text holds half a character: {error}") from None
    except ValueError as error:  # UnicodeDecodeError is one
        raise DataError(f"standard input:{number}: not JSON in UTF-8: {error}") from None
    raise DataError(f'standard input:{number}: no object with a string under the key "text"')


def renamed(record: dict[str, Any], added: dict[str, Any]) -> dict[str, str]:
    """Names for the keys of `record` that `added` would overwrite, or contradict: `scores_before`, if that is taken too
    `scores_before_2`, and so on.
    """
    names: dict[str, str] = {}
    for key in WRITTEN:
        if key in record and (key in added or key == "unscored"):
            name, number = f"{key}_before", 2
            while name in record:
                name, number = f"{key}_before_{number}", number + 1
            names[key] = name
    return names


def line_of(number: int, record: dict[str, Any], names: dict[str, str], added: dict[str, Any]) -> bytes:
    """The line of a record with what was added. Raises DataError where it is nested too deep to be written."""
    extended = {**{names.get(key, key): value for key, value in record.items()}, **added}
    try:
        return _json(extended) + b"\n"
    except RecursionError:
        raise _too_deep(number) from None


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, allow_nan=False).encode()
    except ValueError:  # 1e400, which Python reads as infinity
        return json.dumps(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _too_deep(number: int) -> DataError:
    return DataError(f"standard input:{number}: nested too deep")
