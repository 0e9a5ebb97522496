"""`conditioning:` in a mixture's YAML: a prefix before each document, made from what is known of it.

MEDA (Prabhumoye et al. 2023, arXiv 2302.07388) states the score, INST gives an instruction; both are templates here.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from curation.corpus.where import METADATA, Where, parse
from infra.config.spec import Spec

_ROUNDING = re.compile(r"\.\d{1,2}[efg%]")
_EXAMPLE = "write {toxicity:.1f}, {language} or {metadata.KEY}, and {{ for a brace"


@dataclass(frozen=True)
class Template:
    """A text with names in braces, read once; `names` are the columns it needs."""

    pieces: tuple[tuple[str, str | None, str], ...]

    @property
    def names(self) -> frozenset[str]:
        """Columns, named as in a `where`."""
        return frozenset(name for _, name, _ in self.pieces if name is not None)

    def render(self, columns: Mapping[str, Any], row: int) -> str:
        """The text for one document; `columns` hold an array each. Raises ValueError where it has no such value."""
        shown = (
            f"{words}{_shown(name, columns[name][row], form) if name else ''}" for words, name, form in self.pieces
        )
        return "".join(shown)


def read_template(text: str) -> Template:
    """Read a template. Raises ValueError, in one sentence, on anything but names and roundings in braces."""
    try:
        pieces = [(words, name, form or "", turn) for words, name, form, turn in string.Formatter().parse(text)]
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be read ({error}); {_EXAMPLE}") from None
    return Template(tuple((words, _name(name, form, turn, text), form) for words, name, form, turn in pieces))


def _name(name: str | None, form: str, turn: str | None, text: str) -> str | None:
    """The column of a name in braces; nothing but a name and a rounding may stand there."""
    if name is None:
        return None
    try:
        (column,) = parse(f"{name} == 0").names
    except ValueError:
        raise ValueError(f"{text!r}: {name!r} is not a name; {_EXAMPLE}") from None
    if turn or (form and not _ROUNDING.fullmatch(form)):
        raise ValueError(f"{text!r}: {form or turn!r} is not a rounding such as .1f or .0%; {_EXAMPLE}")
    if not form and not column.startswith(METADATA) and column not in ("source", "id"):
        raise ValueError(f"{text!r}: say how {name} is rounded, such as {{{name}:.1f}}")
    if "(" in column:
        raise ValueError(f"{text!r}: risky_share can be asked for in `where` only")
    return column


def _shown(name: str, value: Any, form: str) -> str:
    """A value as it is read: a whole number as a float, whatever else stands in its column."""
    if value is None or (form and isinstance(value, str)):
        raise ValueError(f"{name} is {'null' if value is None else repr(value)}")
    if isinstance(value, bool):
        return str(value).lower()
    if form:
        return format(float(value), form)
    return str(float(value)) if isinstance(value, int) and float(value) == value else str(value)


def _checked_text(text: str) -> str:
    read_template(text)
    return text


def _checked_where(text: str) -> str:
    parse(text)
    return text


Expression = Annotated[str, AfterValidator(_checked_where)]
"""A `where`, checked for what it says and not for the names it uses."""


def _alone(value: object) -> object:
    return [{"text": value}] if isinstance(value, str) else value


class PrefixSpec(Spec):
    """A prefix, and the documents that it stands before."""

    text: Annotated[str, Field(min_length=1), AfterValidator(_checked_text)]
    """Template over the document's scores, source, language and metadata: "toxicity: {toxicity:.1f}\\n"."""
    where: Expression | None = None
    """Which documents; none means all that no prefix before it took."""

    @property
    def template(self) -> Template:
        """The text, read."""
        return read_template(self.text)

    @property
    def condition(self) -> Where | None:
        """The parsed `where`."""
        return None if self.where is None else parse(self.where)


class ConditioningSpec(Spec):
    """Prefixes of training documents. Held-out documents have none."""

    prefixes: Annotated[
        tuple[PrefixSpec, ...],
        Field(min_length=1),
        BeforeValidator(_alone, json_schema_input_type=str | list[PrefixSpec]),
    ]
    """The first whose `where` a document passes stands before it; a plain text stands before all."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the documents that get one, chosen by seeded hash; the rest keeps use without prefix in distribution."""
    components: tuple[str, ...] | None = None
    """Only these components; by default all."""
    cooldown: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Last share of training, of every component, in which no document has a prefix."""

    def names(self) -> frozenset[str]:
        """Columns that the prefixes need."""
        templates = (prefix.template.names for prefix in self.prefixes)
        return frozenset().union(*templates, *(where.names for where in self.wheres()))

    def wheres(self) -> Iterable[Where]:
        """The conditions of the prefixes."""
        return (prefix.condition for prefix in self.prefixes if prefix.condition is not None)
