"""Supervised fine-tuning: cross-entropy of the preferred text after its prompt."""

from __future__ import annotations

from typing import Any

from posttrain.tuning.base import IGNORED, Examples, Task, TextExample, Tuning
from posttrain.tuning.options import SftArgs
from posttrain.tuning.preferences import pair_examples, pair_inputs


class Sft(Tuning):
    """Learns the preferred texts of pairs; the others are not read."""

    args = SftArgs

    @staticmethod
    def inputs(args: SftArgs) -> dict[str, str]:
        """Of the pairs, or of what they are made of."""
        return pair_inputs(args.data)

    @staticmethod
    def examples(task: Task, args: SftArgs) -> Examples:
        """Prompt and preferred text, with the loss on the latter."""
        pairs = pair_examples(task, args, with_rejected=False)
        texts = [
            TextExample([*pair.prompt, *pair.chosen], [IGNORED] * len(pair.prompt) + pair.chosen)
            for pair in pairs.pairs
        ]
        return Examples(texts=texts, left_out=pairs.left_out)

    @staticmethod
    def train(task: Task, args: SftArgs, examples: Examples) -> Any:
        """With TRL's trainer."""
        from posttrain.tuning.trl_trainers import train_texts

        return train_texts(task, args, examples.text_rows)
