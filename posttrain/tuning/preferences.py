"""What the methods learn that read pairs: from a file, or made here, as token ids."""

from __future__ import annotations

from collections import Counter

from curation.scorers import weights_of
from curation.sources.input_files import content_of
from infra.artifacts.fingerprint import digest
from infra.errors import AmountError
from posttrain.tuning.base import Examples, Task
from posttrain.tuning.options import AnyPairs, PairsSpec, PairwiseArgs
from posttrain.tuning.pairs import encode_pair, read_pairs, source_of
from posttrain.tuning.texts import fingerprint_of_texts


def pair_inputs(data: AnyPairs) -> dict[str, str]:
    """Fingerprints of what pairs are made of."""
    if isinstance(data, PairsSpec):
        return {"pairs": digest(content_of(source_of(data, with_rejected=True)))}
    return {
        "prompts": fingerprint_of_texts(data.prompts),
        "scorer": digest([data.scorer.name, weights_of(data.scorer)]),
    }


def pair_examples(task: Task, args: PairwiseArgs, with_rejected: bool) -> Examples:
    """The pairs of `args.data` as token ids; without the rejected texts where the method has no use for them.

    Raises AmountError where no pair is left, DataError for a record that is no pair.
    """
    if isinstance(args.data, PairsSpec):
        pairs, left_out = read_pairs(args.data, task.spec.seed, with_rejected), Counter[str]()
    else:
        from posttrain.tuning.continuations import made_pairs  # with PyTorch, for which no plan waits

        pairs, left_out = made_pairs(task, args.data)
    encoded = []
    for pair in pairs:
        example = encode_pair(pair, task.model, args)
        if not example.chosen or (with_rejected and (not example.rejected or example.chosen == example.rejected)):
            left_out["pairs that are empty or alike"] += 1
            continue
        encoded.append(example)
    if not encoded:
        raise AmountError(f"no pair to train on: {_told(left_out)}")
    return Examples(pairs=encoded, left_out=dict(left_out))


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "the data are empty"
