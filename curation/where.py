"""`where:` expressions: which documents a component takes, as a small safe language over scores and words.

    toxicity < 0.5 and source == "forum"
    not (insult >= 0.8 or threat >= 0.8)
    0.1 <= toxicity < 0.5 and metadata.lang in ["en", "de"]

Names are the scores of the corpus, `source`, `id`, `characters`, `language` and `language_score` (as the step
`language` writes them into the metadata), `metadata.KEY`, and the documents' `spans.count`, `spans.max` and
`spans.min`; in a mixture also `risky_share`, the share of a document's tokens at or above a risk of 0.5, and
`risky_share(0.9)` for another threshold. Python's parser reads the text, a white list of nodes is kept, and the tree
is evaluated here over whole columns; nothing is ever passed to `eval`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import InputError
from infra.spec import nearest

Column = NDArray[Any]
Mask = NDArray[np.bool_]

WORDS = ("source", "id", "characters")
METADATA = "metadata."
SPANS = ("spans.count", "spans.max", "spans.min")
LANGUAGE = ("language", "language_score")
RISKY_SHARE = "risky_share"
_USUAL_THRESHOLD = 0.5
_MAX_LENGTH = 1000
_ALLOWED = 'comparisons of scores and words with and, or, not, in: toxicity < 0.5 and source == "forum"'

_NAMES = (ast.Name, ast.Attribute, ast.Call)
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Where:
    """A checked expression; `names` are the columns it needs (metadata keys as "metadata.KEY")."""

    text: str
    names: frozenset[str]
    tree: ast.expr

    @property
    def shares(self) -> dict[str, float]:
        """The shares of risky tokens that it asks for: name, and threshold of the risk."""
        return {name: float(name[len(RISKY_SHARE) + 1 : -1]) for name in sorted(self.names) if is_share(name)}

    def check_names(self, attributes: Iterable[str], corpus: str, extra: Iterable[str] = ()) -> None:
        """Raise InputError when the expression uses a score, or a word of `extra`, that the corpus does not have."""
        check_names(self.names, f"where {self.text!r}", attributes, corpus, extra)

    def evaluate(self, columns: Mapping[str, Column], documents: int) -> Mask:
        """Which of `documents` documents pass; `columns` holds one array of that length for each of `names`."""
        return np.broadcast_to(_truth(self.tree, columns, self.text), (documents,))


def check_names(
    names: Iterable[str], said: str, attributes: Iterable[str], corpus: str, extra: Iterable[str] = ()
) -> None:
    """Raise InputError, in what was `said`, when one of the names is neither a word of the language nor a score."""
    known = [*attributes, *WORDS, *LANGUAGE, *extra]
    for name in sorted(names):
        word = RISKY_SHARE if is_share(name) else name
        if word not in known and not name.startswith(METADATA):
            have = f"it has {', '.join(known)}{nearest(word, known)}"
            raise InputError(f"{said}: corpus {corpus!r} has no score {word!r}; {have}")


def is_share(name: str) -> bool:
    """Whether a name is that of a share of risky tokens, such as "risky_share(0.5)"."""
    return name.startswith(f"{RISKY_SHARE}(")


def parse(text: str) -> Where:
    """Read an expression. Raises ValueError, in one sentence, on anything outside the language."""
    if len(text) > _MAX_LENGTH:
        raise ValueError(f"the expression is {len(text)} characters long; at most {_MAX_LENGTH}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names: set[str] = set()
        _check_truth(tree, names)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{text!r} cannot be read; write {_ALLOWED}") from None
    return Where(text, frozenset(names), tree)


def _check_truth(node: ast.expr, names: set[str]) -> None:
    """Accept what is true or false: and, or, not, comparisons, True and False."""
    if isinstance(node, ast.BoolOp):
        for value in node.values:
            _check_truth(value, names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _check_truth(node.operand, names)
    elif isinstance(node, ast.Compare):
        _check_comparison(node, names)
    elif not (isinstance(node, ast.Constant) and isinstance(node.value, bool)):
        raise _refusal(node)


def _check_comparison(node: ast.Compare, names: set[str]) -> None:
    _check_value(node.left, names)
    for operator, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, (ast.In, ast.NotIn)):
            if not isinstance(right, (ast.List, ast.Tuple)) or not right.elts:
                raise ValueError('`in` wants a list of values, such as source in ["a", "b"]')
            for item in right.elts:
                if not isinstance(item, ast.Constant):
                    raise _refusal(item)
                _check_value(item, names)
        elif type(operator) in _COMPARE:
            _check_value(right, names)
        else:
            raise _refusal(node)


def _check_value(node: ast.expr, names: set[str]) -> None:
    """Accept what can be compared: a name, metadata.KEY, a number, a string."""
    if isinstance(node, _NAMES):
        names.add(_name(node))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
        return
    elif not _is_number(node) and not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        raise _refusal(node)


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool)


def _name(node: ast.expr) -> str:
    """The column that a name stands for."""
    if isinstance(node, ast.Name):
        if node.id == RISKY_SHARE:
            return f"{RISKY_SHARE}({_USUAL_THRESHOLD})"
        return METADATA + node.id if node.id in LANGUAGE else node.id
    if isinstance(node, ast.Call):
        return _share_at(node)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metadata":
        return METADATA + node.attr
    if isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in SPANS:
        return name
    raise _refusal(node)


def _share_at(node: ast.Call) -> str:
    """`risky_share(0.9)`: the only thing that may be called."""
    if ast.unparse(node.func) != RISKY_SHARE or len(node.args) != 1 or node.keywords or not _is_number(node.args[0]):
        raise _refusal(node)
    threshold = float(ast.literal_eval(node.args[0]))
    if not 0 < threshold <= 1:
        raise ValueError(f"{ast.unparse(node)!r}: a risk threshold lies above 0 and at most at 1")
    return f"{RISKY_SHARE}({threshold})"


def _refusal(node: ast.AST) -> ValueError:
    return ValueError(f"{ast.unparse(node)!r} is not allowed here; write {_ALLOWED}")


def _truth(node: ast.expr, columns: Mapping[str, Column], text: str) -> Any:
    if isinstance(node, ast.BoolOp):
        parts = [_truth(value, columns, text) for value in node.values]
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        result = parts[0]
        for part in parts[1:]:
            result = combine(result, part)
        return result
    if isinstance(node, ast.UnaryOp):
        return np.logical_not(_truth(node.operand, columns, text))
    if isinstance(node, ast.Compare):
        return _comparison(node, columns, text)
    assert isinstance(node, ast.Constant)
    return np.bool_(node.value)


def _comparison(node: ast.Compare, columns: Mapping[str, Column], text: str) -> Any:
    result: Any = np.bool_(True)
    left = _value(node.left, columns)
    for operator, node_right in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, (ast.In, ast.NotIn)):
            assert isinstance(node_right, (ast.List, ast.Tuple))
            found: Any = np.bool_(False)
            for item in node_right.elts:
                found = np.logical_or(found, _compare(np.equal, left, _value(item, columns), text))
            result = np.logical_and(result, found if isinstance(operator, ast.In) else np.logical_not(found))
        else:
            right = _value(node_right, columns)
            result = np.logical_and(result, _compare(_COMPARE[type(operator)], left, right, text))
            left = right
    return result


def _compare(operator: Callable[[Any, Any], Any], left: Column, right: Column, text: str) -> Any:
    if (left.dtype.kind in "OU") != (right.dtype.kind in "OU"):
        raise InputError(f"where {text!r}: compares a number with a word")
    return operator(left, right)


def _value(node: ast.expr, columns: Mapping[str, Column]) -> Column:
    if isinstance(node, _NAMES):
        return columns[_name(node)]
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, columns)
    assert isinstance(node, ast.Constant)
    return np.asarray(node.value, dtype=object if isinstance(node.value, str) else np.float64)
