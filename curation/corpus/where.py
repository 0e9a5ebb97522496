"""`where:` expressions: which documents a component takes, as a small safe language over scores and words.

    toxicity < 0.5 and source == "forum"
    not (insult >= 0.8 or threat >= 0.8)
    0.1 <= toxicity < 0.5 and metadata.lang in ["en", "de"]
    metadata.user.name is not null and metadata.over_18 == false and metadata["reply-to"] == null

Names are the scores of the corpus, `source`, `id`, `characters`, `language` and `language_score` (as the step
`language` writes them into the metadata), `metadata.KEY` (of kept records also `metadata.KEY.INNER`), and the
documents' `spans.count`, `spans.max` and `spans.min`; in a mixture also `risky_share`, the share of a document's
tokens at or above a risk of 0.5, and `risky_share(0.9)` for another threshold. Python's parser reads the text, a white
list of nodes is kept, and the tree is evaluated here over whole columns; nothing is ever passed to `eval`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.corpus.where_values import Column, UnlikeError, compare, constant
from infra.config.faults import nearest
from infra.errors import InputError

Mask = NDArray[np.bool_]

WORDS = ("source", "id", "characters")
METADATA = "metadata."
SPANS = ("spans.count", "spans.max", "spans.min")
LANGUAGE = ("language", "language_score")
RISKY_SHARE = "risky_share"
_USUAL_THRESHOLD = 0.5
_MAX_LENGTH = 1000
_ALLOWED = (
    'comparisons of scores and words with and, or, not, in, is null: toxicity < 0.5 and source == "forum"; '
    'names: a score, source, id, characters, metadata.KEY or metadata["KEY"]; values: a number, "a word", true, false, '
    "null"
)

_CONSTANTS = {"true": True, "false": False, "null": None}
_NAMES = (ast.Name, ast.Attribute, ast.Subscript, ast.Call)
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Is: np.equal,
    ast.IsNot: np.not_equal,
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

    def evaluate(
        self, columns: Mapping[str, Column], documents: int, location: Callable[[int], str] = "document {}".format
    ) -> Mask:
        """Which of `documents` documents pass; `columns` holds one array of that length for each of `names`, and
        `location` says where a document stands. Raises InputError where a word is compared with what is none.
        """
        try:
            return np.broadcast_to(_truth(self.tree, columns), (documents,))
        except UnlikeError as error:
            raise InputError(f"{location(error.row)}: where {self.text!r} {error}") from None


def check_names(
    names: Iterable[str], subject: str, attributes: Iterable[str], corpus: str, extra: Iterable[str] = ()
) -> None:
    """Raise InputError, in what was `subject`, when one of the names is neither a word of the language nor a score."""
    known = [*attributes, *WORDS, *LANGUAGE, *extra]
    for name in sorted(names):
        word = RISKY_SHARE if is_share(name) else name
        if word not in known and not name.startswith(METADATA):
            have = f"it has {', '.join(known)}{nearest(word, known)}"
            raise InputError(f"{subject}: corpus {corpus!r} has no score {word!r}; {have}")


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
    left = node.left
    _check_value(left, names)
    for operator, right in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, (ast.In, ast.NotIn)):
            _check_list(right)
        elif type(operator) in _COMPARE:
            _check_value(right, names)
            _check_null(operator, left, right)
            left = right
        else:
            raise _refusal(node)


def _check_list(node: ast.expr) -> None:
    if not isinstance(node, (ast.List, ast.Tuple)) or not node.elts:
        raise ValueError('`in` wants a list of values, such as source in ["a", "b"]')
    for item in node.elts:
        if isinstance(item, _NAMES) and not _is_constant(item):
            raise _refusal(item)
        _check_value(item, set())


def _check_null(operator: ast.cmpop, left: ast.expr, right: ast.expr) -> None:
    """`is` is for null only, and null is for `is`, `==` and `!=` and for what stands in the metadata."""
    nulls = [_is_constant(node) and _constant_of(node) is None for node in (left, right)]
    other = left if nulls[1] else right
    in_metadata = isinstance(other, _NAMES) and _name(other).startswith(METADATA)
    fits = isinstance(operator, (ast.Is, ast.IsNot, ast.Eq, ast.NotEq)) and in_metadata
    if (any(nulls) and not fits) or (isinstance(operator, (ast.Is, ast.IsNot)) and not nulls[1]):
        raise _refusal(ast.Compare(left, [operator], [right]))


def _check_value(node: ast.expr, names: set[str]) -> None:
    """Accept what can be compared: a name, metadata.KEY, a number, a string, true, false, null."""
    if _is_constant(node):
        return
    if isinstance(node, _NAMES):
        names.add(_name(node))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
        return
    else:
        raise _refusal(node)


def _is_constant(node: ast.expr) -> bool:
    if isinstance(node, ast.Name):
        return node.id in _CONSTANTS
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (str, int, float)))


def _constant_of(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _CONSTANTS[node.id]
    assert isinstance(node, ast.Constant)
    return node.value


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
    if (key := _metadata_key(node)) is not None:
        return METADATA + key
    if isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in SPANS:
        return name
    raise _refusal(node)


def _metadata_key(node: ast.expr) -> str | None:
    """`a.b` for metadata.a.b and for metadata["a.b"]; None for what is not of the metadata."""
    keys: list[str] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        key = node.attr if isinstance(node, ast.Attribute) else _subscript(node)
        if key is None:
            return None
        keys.append(key)
        node = node.value
    return ".".join(reversed(keys)) if keys and isinstance(node, ast.Name) and node.id == "metadata" else None


def _subscript(node: ast.Subscript) -> str | None:
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    return str(key) if isinstance(key, (str, int)) and not isinstance(key, bool) else None


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


def _truth(node: ast.expr, columns: Mapping[str, Column]) -> Any:
    if isinstance(node, ast.BoolOp):
        combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        return reduce(combine, (_truth(value, columns) for value in node.values))
    if isinstance(node, ast.UnaryOp):
        return np.logical_not(_truth(node.operand, columns))
    if isinstance(node, ast.Compare):
        return _comparison(node, columns)
    assert isinstance(node, ast.Constant)
    return np.bool_(node.value)


def _comparison(node: ast.Compare, columns: Mapping[str, Column]) -> Any:
    result: Any = np.bool_(True)
    left = _value(node.left, columns)
    for operator, node_right in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, (ast.In, ast.NotIn)):
            assert isinstance(node_right, (ast.List, ast.Tuple))
            equal = [compare(np.equal, left, _value(item, columns)) for item in node_right.elts]
            among = reduce(np.logical_or, equal)
            result = np.logical_and(result, among if isinstance(operator, ast.In) else np.logical_not(among))
        else:
            right = _value(node_right, columns)
            result = np.logical_and(result, compare(_COMPARE[type(operator)], left, right))
            left = right
    return result


def _value(node: ast.expr, columns: Mapping[str, Column]) -> Column:
    if _is_constant(node):
        return constant(_constant_of(node))
    if isinstance(node, _NAMES):
        return columns[_name(node)]
    assert isinstance(node, ast.UnaryOp)
    return constant(-_constant_of(node.operand))
