"""The token files that a stream is made of. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mixtures.reading.built import BuiltMixture, TokenFiles


@dataclass(frozen=True)
class ComponentFiles:
    """Token files of one component: prefixes of an IndexedDataset and of its risk twin (None: nothing was scored),
    whether its documents may be shuffled, which of them are meant (first and end; None: all), the SHA-256 of the
    token file where it is known, and after how many documents they begin anew (None: they do not repeat).
    """

    name: str
    prefix: Path
    risk_prefix: Path | None
    shuffled: bool = True
    documents: tuple[int, int] | None = None
    sha256: str | None = None
    distinct: int | None = None

    @classmethod
    def from_pair(cls, files: TokenFiles, documents: tuple[int, int] | None = None) -> ComponentFiles:
        """What a stream needs of one pair of token files of a built mixture."""
        return cls(
            files.name,
            files.prefix,
            files.risk_prefix,
            files.shuffled,
            documents,
            files.tokens_sha256,
            files.distinct_documents,
        )

    @property
    def key(self) -> dict[str, object]:
        """What the order of its documents depends on; an index is kept under it."""
        content = self.sha256 or str(self.prefix.absolute())
        key: dict[str, object] = {"content": content, "shuffled": self.shuffled, "documents": self.documents}
        return key if self.distinct is None else key | {"distinct": self.distinct}

    @property
    def is_empty(self) -> bool:
        """Whether no document is meant."""
        return self.documents is not None and self.documents[0] == self.documents[1]


def token_files_of(mixture: BuiltMixture, cooldown: bool) -> list[ComponentFiles]:
    """The token files of one phase, by component; a component that has no documents in it is there all the same, since
    batches number components by their position.
    """
    return [ComponentFiles.from_pair(files, _range(files, cooldown)) for files in mixture.components]


def _range(files: TokenFiles, cooldown: bool) -> tuple[int, int] | None:
    if not cooldown and not files.cooldown_documents:
        return None
    border = files.documents - files.cooldown_documents
    return (border, files.documents) if cooldown else (0, border)
