"""A shard: a numbered stretch of a corpus, the unit of work of every pass."""

from __future__ import annotations

from dataclasses import dataclass

from curation.sources.input_files import InputFile


@dataclass(frozen=True)
class Shard:
    """One shard: its corpus, its number in it, and what it reads: parts of sources, or a stored file below work/.

    `piece` is the place of the piece that this shard is the first one of, if its documents were cut from one. `crowd`
    says that its corpus has very many small files, which are counted by folder.
    """

    corpus: str
    number: int
    label: str
    input_files: tuple[InputFile, ...] = ()
    limit: int | None = None
    stored: str = ""
    piece: str = ""
    crowd: bool = False

    @property
    def stem(self) -> str:
        """`CORPUS/NNNNN`: the shard's files are called so, with a suffix, wherever they lie."""
        return f"{self.corpus}/{self.number:05d}"
