"""What a tuning will do and cost, before the model is loaded: examples and tokens at most, steps, FLOPs, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from curation.sources.read import read_source
from infra.errors import ArtifactError
from infra.render.html import duration
from infra.render.page import Plan, Table
from posttrain.tuning.options import (
    ContinuationsSpec,
    InstructArgs,
    PairsSpec,
    PairwiseArgs,
    RelearnArgs,
    SampledSpec,
    TuningArgs,
)
from posttrain.tuning.pairs import source_of
from posttrain.tuning.spec import TuneSpec
from posttrain.tuning.texts import read_texts
from pretrain.gpus import GPUS
from pretrain.huggingface.location import HUB, weights_folder
from pretrain.planning.estimate import CPU_THREAD_FLOPS

_CHARACTERS_PER_TOKEN = 4  # of English under a byte-pair vocabulary of some ten thousand tokens
_UTILISATION = 0.3  # of a GPU's peak, in small batches


@dataclass(frozen=True)
class Amounts:
    """What there is at most: examples and tokens of an epoch, steps, and tokens that the model writes or reads for its
    own continuations.
    """

    examples: int
    tokens: int
    steps: int
    sampled: int = 0

    def tokens_of_all_steps(self, args: TuningArgs) -> int:
        """Tokens that are trained on in all; the last step of an epoch may be a smaller one."""
        seen = self.examples * args.epochs if args.max_steps is None else self.steps * args.batch_size
        return round(seen * self.tokens / max(1, self.examples))


def plan(spec: TuneSpec) -> Plan:
    """Amounts and cost. Reads the data, not the model's weights. Raises what reading the data raises."""
    args = spec.method
    amounts = _amounts(args)
    rows = [
        ("model", spec.model),
        ("method", args.name),
        ("weights trained", f"low-rank factors of rank {args.lora.rank}" if args.lora else "all"),
        ("loss on", args.loss_of),
        ("examples, at most", amounts.examples),
        ("tokens of an epoch, at most", amounts.tokens),
        ("steps, at most", amounts.steps),
        ("tokens of the model's own continuations", amounts.sampled),
    ]
    notes = [f"tokens are estimated at {_CHARACTERS_PER_TOKEN} characters each where they are not a limit"]
    parameters = parameters_of(spec.model)
    if parameters is None:
        notes.append("the model is not on this machine, so its cost is not known")
    else:
        rows += _cost(parameters, amounts, args)
    return Plan(f"tune {spec.name}", (Table("Tuning", ("what", "value"), tuple(rows)),), tuple(notes))


def _cost(parameters: int, amounts: Amounts, args: TuningArgs) -> list[tuple[str, object]]:
    """6 FLOPs a parameter and trained token, 4 where most weights get no gradient, 2 for a token that is only read."""
    trained = (4 if args.lora else 6) * amounts.tokens_of_all_steps(args)
    reference = 2 * amounts.tokens if args.name == "dpo" else 0
    flops = parameters * (trained + reference + 2 * amounts.sampled)
    gpu = GPUS["H100"].flops * _UTILISATION
    return [
        ("parameters", parameters),
        ("FLOPs", f"{flops:.3g}"),
        ("time on one CPU thread", duration(flops / CPU_THREAD_FLOPS)),
        (f"time on one H100 at {_UTILISATION:.0%} of its peak", duration(flops / gpu)),
    ]


def parameters_of(location: str) -> int | None:
    """Numbers in the model's safetensors; None for a name on the hub. Raises ArtifactError for a damaged file."""
    if location.startswith(HUB):
        return None
    total = 0
    for file in sorted(Path(weights_folder(location)).glob("*.safetensors")):
        try:
            with safe_open(file, framework="np") as opened:
                total += sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
        except SafetensorError as error:
            raise ArtifactError(f"{file}: damaged ({error}); run its stage again") from None
    return total


def _amounts(args: TuningArgs) -> Amounts:
    if isinstance(args, PairwiseArgs):
        examples, tokens, sampled = _of_pairs(args)
    elif isinstance(args, InstructArgs):
        examples, tokens, sampled = args.examples, args.examples * args.max_tokens, 0
    else:
        assert isinstance(args, RelearnArgs)
        lengths = [_tokens(text) + 2 for text in read_texts(args.texts)]
        examples, tokens = sum(-(-length // args.max_tokens) for length in lengths), sum(lengths)
        sampled = (1 + args.max_steps // args.measure_every) * _sampled(args.measure)[1]
    return Amounts(examples, tokens, args.steps_for(examples), sampled)


def _of_pairs(args: PairwiseArgs) -> tuple[int, int, int]:
    """Pairs, their tokens, and those that are sampled to make them."""
    texts = 2 if args.name == "dpo" else 1
    if isinstance(args.data, ContinuationsSpec):
        prompts, sampled = _sampled(args.data)
        return prompts, prompts * texts * (args.max_prompt_tokens + args.max_continuation_tokens), sampled
    lengths = [_of_pair(values, args) for values in _texts_of(args.data, texts)]
    limited = lengths[: args.data.limit]
    return len(limited), sum(limited), 0


def _texts_of(data: PairsSpec, texts: int) -> list[list[str]]:
    """Of each record the prompt, the preferred text and, of two, the other."""
    records = read_source(source_of(data, with_rejected=texts == 2))
    keys = [data.rejected] if texts == 2 else []
    return [
        [str(record.metadata.get(data.prompt or "", "")), record.text, *(str(record.metadata[key]) for key in keys)]
        for record in records
    ]


def _of_pair(values: Sequence[str], args: PairwiseArgs) -> int:
    prompt, *continuations = map(_tokens, values)
    cut = [min(length, args.max_continuation_tokens) for length in continuations]
    return sum(cut) + len(cut) * (1 + min(prompt, args.max_prompt_tokens))


def _sampled(spec: SampledSpec) -> tuple[int, int]:
    """Prompts, and tokens of all their continuations with the prompts read once."""
    step = spec.prompt_tokens + spec.max_new_tokens
    prompts = sum(1 + max(0, _tokens(text) - spec.prompt_tokens) // step for text in read_texts(spec.prompts))
    prompts = min(prompts, spec.limit or prompts)
    return prompts, prompts * (spec.prompt_tokens + spec.samples * spec.max_new_tokens)


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
