"""The `tagger:` section of any YAML: one of the sections that the taggers declare, told apart by `name`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from curation.taggers import TAGGERS, TaggerSpec
from infra.registry import one_of

if TYPE_CHECKING:
    AnyTagger: TypeAlias = TaggerSpec
else:
    AnyTagger = one_of(TAGGERS, "name")
