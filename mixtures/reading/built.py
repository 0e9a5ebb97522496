"""A built mixture, opened for reading: what the trainer, the steering methods and the reports need of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.artifacts.artifact import read_artifact
from infra.artifacts.inputs import open_input
from infra.config.faults import nearest
from infra.errors import ArtifactError, InputError
from mixtures.formats.file_names import HELD_OUT
from mixtures.formats.indexed import Indexed, open_pair, risk_prefix
from mixtures.reading.manifest import ComponentRecord, MixtureManifest, TokenFilesRecord
from mixtures.spec.mixture import PackingSpec
from mixtures.tokenizing.tokenizer import TokenizerFacts, read_facts


@dataclass(frozen=True)
class TokenFiles:
    """One pair of token files: `prefix` as Megatron wants it, its tokens, documents and hashes, and whether the trainer
    may shuffle its documents. The last `cooldown_documents` are trained on when all others are done.
    """

    name: str
    prefix: Path
    tokens: int
    documents: int
    risky_tokens: int
    tokens_sha256: str
    risk_sha256: str
    shuffled: bool = True
    prefix_tokens: int = 0
    cooldown_documents: int = 0
    cooldown_tokens: int = 0
    distinct_documents: int | None = None
    """Documents after which the files repeat them, where they do."""

    @property
    def risk_prefix(self) -> Path:
        """Prefix of the risk twin."""
        return risk_prefix(self.prefix)

    def open(self) -> tuple[Indexed, Indexed]:
        """Tokens and risk bytes, memory mapped; raises ArtifactError when the twin belongs to other tokens."""
        return open_pair(self.prefix, self.tokens_sha256)


@dataclass(frozen=True)
class BuiltMixture:
    """A mixture artifact.

    `components` and `held_out` hold those that have tokens; a component at dose 0 is in `manifest` and `held_out` only.
    `content_sha256` is a hash over all token and risk bytes: put it into the path of Megatron's index cache, whose own
    key knows paths and not contents.
    """

    path: Path
    fingerprint: str
    content_sha256: str
    sequence_length: int
    risk: str | None
    tokenizer: Path
    facts: TokenizerFacts
    components: tuple[TokenFiles, ...]
    held_out: tuple[TokenFiles, ...]
    manifest: MixtureManifest
    packing: PackingSpec

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> BuiltMixture:
        """Open the artifact at `path`, check that each risk twin names its tokens and, with `verify`, every checksum
        (of files that changed since they were last compared; of none where inputs are trusted).

        Raises InputError where there is no mixture, ArtifactError where it is damaged. Where many processes open one
        mixture, one of them verifies and the others pass `verify=False`.
        """
        artifact = open_input(path, "mixture") if verify else read_artifact(path, "mixture")
        manifest = MixtureManifest.of(artifact.path)
        mixture = cls(
            path=artifact.path,
            fingerprint=artifact.fingerprint,
            content_sha256=manifest.content_sha256,
            sequence_length=manifest.sequence_length,
            risk=manifest.risk.attribute,
            tokenizer=artifact.path / "tokenizer",
            facts=read_facts(artifact.path / "tokenizer"),
            components=tuple(_training_files(record, artifact.path) for record in manifest.components if record.tokens),
            held_out=tuple(
                _files(record.name, record.held_out, artifact.path / HELD_OUT)
                for record in manifest.components
                if record.held_out.tokens
            ),
            manifest=manifest,
            packing=manifest.packing or PackingSpec(),
        )
        for files in (*mixture.components, *mixture.held_out):
            files.open()
        return mixture

    @property
    def tokens(self) -> int:
        """Training tokens in all."""
        return sum(component.tokens for component in self.components)

    @property
    def blend(self) -> tuple[list[str], list[float]]:
        """Megatron's blend: absolute prefixes, and weights that are the tokens of each."""
        return [str(files.prefix) for files in self.components], [float(files.tokens) for files in self.components]

    def component(self, name: str) -> TokenFiles:
        """Training files of component `name`. Raises InputError when it has none."""
        return _find(self.components, name, f"{self.path}: no component {name!r} with training tokens")

    def held_out_of(self, name: str) -> TokenFiles:
        """Held-out files of component `name`. Raises InputError when nothing of it was held out."""
        return _find(
            self.held_out, name, f"{self.path}: nothing of component {name!r} is held out; set hold_out.{name}"
        )


def _training_files(record: ComponentRecord, folder: Path) -> TokenFiles:
    distinct, cooldown = record.distinct_documents, record.cooldown
    return replace(
        _files(record.name, record, folder),
        shuffled=record.order is None,
        prefix_tokens=record.prefix_tokens or 0,
        cooldown_documents=0 if cooldown is None else cooldown.documents,
        cooldown_tokens=0 if cooldown is None else cooldown.tokens,
        distinct_documents=distinct if distinct and distinct < record.documents else None,
    )


def _files(name: str, record: TokenFilesRecord, folder: Path) -> TokenFiles:
    """Raises ArtifactError where there are tokens and their hashes are not told."""
    if record.tokens_sha256 is None or record.risk_sha256 is None:
        raise ArtifactError(f"{folder / name}: the manifest has no hash of its tokens; build the mixture again")
    return TokenFiles(
        name=name,
        prefix=folder / name,
        tokens=record.tokens,
        documents=record.documents,
        risky_tokens=record.risky_tokens,
        tokens_sha256=record.tokens_sha256,
        risk_sha256=record.risk_sha256,
    )


def _find(files: tuple[TokenFiles, ...], name: str, message: str) -> TokenFiles:
    for candidate in files:
        if candidate.name == name:
            return candidate
    raise InputError(message + nearest(name, [candidate.name for candidate in files]))
