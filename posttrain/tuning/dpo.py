"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).

The loss of a pair is −log σ(β [log π(c|p)/π₀(c|p) − log π(r|p)/π₀(r|p)]), with π₀ the model as it was, c the preferred
and r the other continuation of the prompt p.
"""

from __future__ import annotations

from typing import Any

from posttrain.tuning.base import Examples, Task, Tuning
from posttrain.tuning.options import DpoArgs
from posttrain.tuning.preferences import pair_examples, pair_inputs


class Dpo(Tuning):
    """Learns to prefer one text of each pair to the other."""

    args = DpoArgs

    @staticmethod
    def inputs(args: DpoArgs) -> dict[str, str]:
        """Of the pairs, or of what they are made of."""
        return pair_inputs(args.data)

    @staticmethod
    def examples(task: Task, args: DpoArgs) -> Examples:
        """Prompt and both continuations, with the loss on these."""
        return pair_examples(task, args, with_rejected=True)

    @staticmethod
    def train(task: Task, args: DpoArgs, examples: Examples) -> Any:
        """With TRL's trainer."""
        from posttrain.tuning.trl_trainers import train_pairs

        return train_pairs(task, args, examples.pair_rows, args.beta)
