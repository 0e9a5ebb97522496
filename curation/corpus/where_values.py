"""The values that `where` compares: columns of numbers, and of what documents hold under a key: words, booleans, null.

A comparison with null is false, but for `!=` and for null itself; of a word with anything but a word it is an error.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
_EXACT = 2**53  # whole numbers up to here are floats without loss
_ABSENT = object()
_OPERATORS: dict[Callable[[Any, Any], Any], Callable[[Any, Any], Any]] = {
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
}


class UnlikeError(Exception):
    """A word is compared with what is no word, in document `row` of the columns."""

    def __init__(self, row: int, left: Any, right: Any) -> None:
        super().__init__(row, left, right)
        self.row = row

    def __str__(self) -> str:
        word, other = sorted(self.args[1:], key=lambda value: not isinstance(value, str))
        return f"compares a {_kind(other)} with a word: {_short(other)} beside {_short(word)}"


def column_of(values: Sequence[Any]) -> Column:
    """Values as a column: floats where nothing is lost, else as they are. NaN is null."""
    if all(_is_plain_number(value) for value in values):
        return np.array(values, dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [None if isinstance(value, float) and math.isnan(value) else value for value in values]
    return column


def constant(value: Any) -> Column:
    """A value that stands in the expression."""
    if _is_plain_number(value):
        return np.asarray(value, dtype=np.float64)
    column = np.empty((), dtype=object)
    column[()] = value
    return column


def metadata_value(metadata: Mapping[str, Any], key: str) -> Any:
    """What stands under a key, which may lead into a record that was kept (`user.name`); null where that record lacks
    it. Raises KeyError where nothing of the kind was kept, ValueError for a list or a record.
    """
    value = metadata.get(key, _ABSENT)
    if value is _ABSENT:
        value = _inside(metadata, key.split("."))
    if isinstance(value, (dict, list)):
        raise ValueError(f"holds {_short(value)}, and a word, a number or a boolean can be compared")
    return value


def compare(ufunc: Callable[[Any, Any], Any], left: Column, right: Column) -> Any:
    """Element by element, by one of numpy's comparisons. Raises UnlikeError."""
    if left.dtype != object and right.dtype != object:
        return ufunc(left, right)
    lefts, rights = np.broadcast_arrays(left.astype(object), right.astype(object))
    pairs = zip(lefts.ravel().tolist(), rights.ravel().tolist(), strict=True)
    results = [_holds(ufunc, row, a, b) for row, (a, b) in enumerate(pairs)]
    return np.array(results, dtype=np.bool_).reshape(lefts.shape)


def _holds(ufunc: Callable[[Any, Any], Any], row: int, left: Any, right: Any) -> bool:
    if left is None or right is None:
        return left is right if ufunc is np.equal else left is not right and ufunc is np.not_equal
    if isinstance(left, str) != isinstance(right, str):
        raise UnlikeError(row, left, right)
    return bool(_OPERATORS[ufunc](left, right))


def _inside(metadata: Mapping[str, Any], segments: list[str]) -> Any:
    """The value in the kept record with the longest name that `segments` begin with."""
    for end in range(len(segments) - 1, 0, -1):
        if (value := metadata.get(".".join(segments[:end]), _ABSENT)) is not _ABSENT:
            return _down(value, segments[end:])
    raise KeyError(".".join(segments))


def _down(value: Any, segments: list[str]) -> Any:
    for segment in segments:
        if isinstance(value, dict):
            value = value.get(segment)
        elif isinstance(value, list) and segment.isdecimal() and int(segment) < len(value):
            value = value[int(segment)]
        else:
            return None
    return value


def _is_plain_number(value: Any) -> bool:
    """Whether a float says all of it."""
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, int) and not isinstance(value, bool) and -_EXACT <= value <= _EXACT


def _kind(value: Any) -> str:
    return "boolean" if isinstance(value, bool) else "number"


def _short(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:80]
