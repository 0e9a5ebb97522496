"""A built mixture, opened for reading: what the trainer, the steering methods and the reports need of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.artifacts.artifact import read_artifact
from infra.artifacts.inputs import open_input
from infra.config.faults import nearest
from infra.errors import ArtifactError, InputError
from mixtures.formats.indexed import Indexed, open_pair, risk_prefix
from mixtures.spec.mixture import PackingSpec
from mixtures.tokenizing.tokenizer import TokenizerFacts, read_facts

FORMAT = 1
HELD_OUT = "held_out"


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
    manifest: dict[str, Any]
    packing: PackingSpec

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = True) -> BuiltMixture:
        """Open the artifact at `path`, check that each risk twin names its tokens and, with `verify`, every checksum
        (of files that changed since they were last compared; of none where inputs are trusted).

        Raises InputError where there is no mixture, ArtifactError where it is damaged. Where many processes open one
        mixture, one of them verifies and the others pass `verify=False`.
        """
        artifact = open_input(path, "mixture") if verify else read_artifact(path, "mixture")
        manifest = json.loads((artifact.path / "mixture.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ArtifactError(
                f"{path}: mixture format {manifest['format']!r}, this hormesis reads {FORMAT}; build it again"
            )
        records = manifest["components"]
        mixture = cls(
            path=artifact.path,
            fingerprint=artifact.fingerprint,
            content_sha256=manifest["content_sha256"],
            sequence_length=manifest["sequence_length"],
            risk=manifest["risk"]["attribute"],
            tokenizer=artifact.path / "tokenizer",
            facts=read_facts(artifact.path / "tokenizer"),
            components=_files(records, artifact.path),
            held_out=_files([{**each["held_out"], "name": each["name"]} for each in records], artifact.path / HELD_OUT),
            manifest=manifest,
            packing=PackingSpec.model_validate(manifest.get("packing", {})),
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
        return [str(each.prefix) for each in self.components], [float(each.tokens) for each in self.components]

    def component(self, name: str) -> TokenFiles:
        """Training files of component `name`. Raises InputError when it has none."""
        return _find(self.components, name, f"{self.path}: no component {name!r} with training tokens")

    def held_out_of(self, name: str) -> TokenFiles:
        """Held-out files of component `name`. Raises InputError when nothing of it was held out."""
        return _find(
            self.held_out, name, f"{self.path}: nothing of component {name!r} is held out; set hold_out.{name}"
        )


def _files(records: list[dict[str, Any]], folder: Path) -> tuple[TokenFiles, ...]:
    return tuple(
        TokenFiles(
            name=record["name"],
            prefix=folder / record["name"],
            tokens=record["tokens"],
            documents=record["documents"],
            risky_tokens=record["risky_tokens"],
            tokens_sha256=record["tokens_sha256"],
            risk_sha256=record["risk_sha256"],
            shuffled="order" not in record,
            prefix_tokens=record.get("prefix_tokens", 0),
            cooldown_documents=record.get("cooldown", {}).get("documents", 0),
            cooldown_tokens=record.get("cooldown", {}).get("tokens", 0),
            distinct_documents=_repeating(record),
        )
        for record in records
        if record["tokens"]
    )


def _repeating(record: dict[str, Any]) -> int | None:
    distinct = record.get("distinct_documents")
    return int(distinct) if distinct and distinct < record["documents"] else None


def _find(files: tuple[TokenFiles, ...], name: str, message: str) -> TokenFiles:
    for each in files:
        if each.name == name:
            return each
    raise InputError(message + nearest(name, [each.name for each in files]))
