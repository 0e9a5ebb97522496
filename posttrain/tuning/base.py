"""What a method that changes weights is: it makes examples of its data, and trains on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from infra.stages.stage import Workspace
from posttrain.tuning.options import TuningArgs

if TYPE_CHECKING:
    from posttrain.model import CausalModel
    from posttrain.tuning.spec import TuneSpec

IGNORED = -100
"""Label of a token without loss, as transformers writes it."""


@dataclass(frozen=True)
class TextExample:
    """Token ids of one text, start token included, and `labels` of the same length: the ids, or IGNORED."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class PairExample:
    """Token ids of a prompt, start token included, and of two continuations of it."""

    prompt: list[int]
    chosen: list[int]
    rejected: list[int]


@dataclass(frozen=True)
class Examples:
    """What a method trains on; `left_out` counts, by reason, what of the data it does not."""

    texts: list[TextExample] = field(default_factory=list)
    pairs: list[PairExample] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts) + len(self.pairs)

    @property
    def loss_tokens(self) -> int:
        """Tokens that bear a loss in one epoch."""
        of_texts = sum(label != IGNORED for text in self.texts for label in text.labels)
        return of_texts + sum(len(pair.chosen) + len(pair.rejected) for pair in self.pairs)

    @property
    def tokens(self) -> int:
        """Tokens that go through the model in one epoch."""
        of_pairs = sum(2 * len(pair.prompt) + len(pair.chosen) + len(pair.rejected) for pair in self.pairs)
        return sum(len(text.ids) for text in self.texts) + of_pairs

    @property
    def text_rows(self) -> list[dict[str, list[int]]]:
        """The texts as TRL's collator reads them."""
        return [{"input_ids": text.ids, "labels": text.labels} for text in self.texts]

    @property
    def pair_rows(self) -> list[dict[str, list[int]]]:
        """The pairs as TRL's collator reads them."""
        return [
            {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected} for pair in self.pairs
        ]


@dataclass(frozen=True)
class Task:
    """One tuning under way: the loaded model in float32, what is asked, and where it works."""

    model: CausalModel
    spec: TuneSpec
    workspace: Workspace

    @property
    def folder(self) -> Path:
        """The work folder."""
        return self.workspace.path


class Tuning(ABC):
    """A method has a file of this package, its settings in `options.py` and a row in the package's table."""

    args: ClassVar[type[TuningArgs]]

    @staticmethod
    @abstractmethod
    def inputs(args: Any) -> dict[str, str]:
        """Fingerprints of what is read beside the model. Raises what listing the sources raises."""

    @staticmethod
    @abstractmethod
    def examples(task: Task, args: Any) -> Examples:
        """The data as token ids. Raises AmountError where there is nothing to train on."""

    @staticmethod
    @abstractmethod
    def train(task: Task, args: Any, examples: Examples) -> Any:
        """Train from the last whole checkpoint on, and return the network with its new weights."""
