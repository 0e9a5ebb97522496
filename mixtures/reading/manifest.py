"""`mixture.json`: what a built mixture says of itself, as the records that the build writes and every reader gets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from infra.artifacts.records import JsonObject, from_json
from infra.errors import ArtifactError
from mixtures.formats.file_names import MANIFEST
from mixtures.formats.risk import UNSCORED
from mixtures.spec.handover import CardSpec
from mixtures.spec.mixture import ByScore, PackingSpec, RiskySpansSpec
from mixtures.tokenizing.tokenizer import TokenizerFacts

FORMAT = 1
_REMEDY = "build the mixture again"


@dataclass(frozen=True, kw_only=True)
class TokenFilesRecord:
    """A pair of token files: its counts, and hashes (hex SHA-256) of those that are there; with no token none is."""

    tokens: int
    documents: int
    risky_tokens: int
    """Tokens whose score is at least 0.5."""
    risk_histogram: Annotated[tuple[int, ...], Field(min_length=256, max_length=256)]
    """[256] how many tokens have each risk byte. Never left out: without it nobody knows what is unscored."""
    dtype: str | None = None
    tokens_sha256: str | None = None
    risk_sha256: str | None = None
    idx_sha256: str | None = None

    def __post_init__(self) -> None:
        if (counted := sum(self.risk_histogram)) != self.tokens:
            raise ValueError(f"risk_histogram counts {counted:,} tokens of {self.tokens:,}")

    @property
    def unscored(self) -> int:
        """Tokens that nobody scored."""
        return self.risk_histogram[UNSCORED]

    @property
    def hashes(self) -> tuple[str | None, str | None, str | None]:
        """Hashes of tokens, risk bytes and index: what a mixture's content is known by."""
        return self.tokens_sha256, self.risk_sha256, self.idx_sha256


@dataclass(frozen=True, kw_only=True)
class EosSpelled:
    """How many documents spell the EOS in their text, and how often; there it is broken into other tokens."""

    documents: int
    times: int


@dataclass(frozen=True, kw_only=True)
class CooldownRecord:
    """The last documents of a component, which are trained on when all others are done."""

    documents: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class ComponentRecord(TokenFilesRecord):
    """One component: what was taken for training, in the base's counts, out of what, and what is held out."""

    name: str
    corpus: str
    where: str | None
    available: int
    """Training tokens that there are, once."""
    max_epochs: int
    held_out: TokenFilesRecord
    distinct_documents: int | None = None
    """Documents, repetitions not counted."""
    eos_spelled: EosSpelled | None = None
    order: Literal["corpus"] | ByScore | None = None
    """None: shuffled, and the trainer may shuffle anew."""
    risky_spans: RiskySpansSpec | None = None
    prefix_tokens: int | None = None
    """Tokens of prefixes, among `tokens`; None: no document may have one."""
    cooldown: CooldownRecord | None = None

    @property
    def document_tokens(self) -> int:
        """Training tokens without those of prefixes."""
        return self.tokens - (self.prefix_tokens or 0)


@dataclass(frozen=True, kw_only=True)
class RiskRecord:
    """What the risk bytes are of: the attribute (None: nothing was scored), and the two bytes that are no score."""

    attribute: str | None
    unscored: int
    structural: int


@dataclass(frozen=True, kw_only=True)
class SetCounts:
    """Texts of an evaluation set: all, those long enough to be looked for, found at all, found with every n-gram."""

    texts: int
    long_enough: int
    touched: int
    inside: int


@dataclass(frozen=True, kw_only=True)
class ContaminationReport:
    """Counts of each evaluation set by corpus, and the documents that each component went without."""

    n_grams: int
    sets: dict[str, dict[str, SetCounts]]
    documents: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Documents and tokens of one side, training or held out, of a component: all of them, those equal to a document in
    the training of `also_in`, and those nearly or quite equal to one.
    """

    component: str
    held_out: bool
    also_in: str
    documents: int
    tokens: int
    equal_documents: int
    equal_tokens: int
    near_documents: int
    near_tokens: int


@dataclass(frozen=True, kw_only=True)
class MixtureManifest:
    """The whole file. Keys with None are there where the mixture asks for what they hold."""

    format: int
    seed: int
    sequence_length: int
    risk: RiskRecord
    tokenizer: TokenizerFacts
    tokens: int
    components: tuple[ComponentRecord, ...]
    """In the order of the specification, also those without a training token."""
    held_out: str
    """Folder of the held-out files."""
    content_sha256: str
    card: CardSpec | None = None
    packing: PackingSpec | None = None
    conditioning: JsonObject | None = None
    """The section of the specification, for people: the prefixes are in the files."""
    decontamination: ContaminationReport | None = None
    overlap: tuple[Overlap, ...] | None = None

    @classmethod
    def from_json(cls, path: Path) -> MixtureManifest:
        """Read the manifest at `path`. Raises ArtifactError, which names every missing key and every wrong value."""
        text = path.read_bytes()
        try:
            version = json.loads(text)["format"]
        except (ValueError, KeyError, TypeError, RecursionError):
            version = FORMAT  # whatever is wrong with it is told below
        if version != FORMAT:
            raise ArtifactError(f"{path}: mixture format {version!r}, this hormesis reads {FORMAT}; {_REMEDY}")
        return from_json(cls, text, path, remedy=_REMEDY)

    @classmethod
    def of(cls, mixture: Path) -> MixtureManifest:
        """The manifest of the mixture in this folder. Raises ArtifactError."""
        return cls.from_json(mixture / MANIFEST)
