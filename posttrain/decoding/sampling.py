"""The decoding loop: many continuations of many prompts, in large batches, independent of how they are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch

from infra.errors import InputError
from posttrain.decoding.candidates import advance
from posttrain.decoding.memory import attempted, rows_that_fit
from posttrain.decoding.nucleus import nucleus, uniforms
from posttrain.decoding.passes import Passes
from posttrain.model import CausalModel
from posttrain.stack import Stack

ROWS_PER_BATCH = 256
_TOKENS_PER_STEP = 2048  # candidates of all rows in one forward; more only spills the caches of a CPU
_ON_GPU = 8  # times as many of both: launching a step takes as long for one row as for a thousand
_LOOK_EVERY = 8  # steps of a GPU between looks at which rows have ended, as a look waits for all that was launched
_COMPACT_BELOW = 0.75  # share of rows still being written below which the finished ones are dropped from the batch
_COMPACT_BELOW_ON_GPU = 0.5  # where steps of the new shape have to be recorded


@dataclass(frozen=True)
class Sampling:
    """How to continue prompts; the defaults are ours: Li et al. 2025 (arXiv 2505.04741) do not say how they sample."""

    max_new_tokens: int = 20
    samples: int = 1
    top_p: float = 0.9
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.samples < 1:
            raise InputError("max_new_tokens and samples must be at least 1")
        if not 0 < self.top_p <= 1 or self.temperature < 0:
            raise InputError("top_p must be in (0, 1] and temperature 0 or more")


@dataclass(frozen=True)
class Generation:
    """One continuation: its text, its token ids (without the end-of-text token), and whether it ended by itself.

    `reached` is the share of the probability of all that could be drawn which the candidates of a method that looks
    ahead held, a mean over the steps; None where none does.
    """

    text: str
    tokens: tuple[int, ...]
    ended: bool
    reached: float | None = field(default=None, compare=False)


def generate(
    stack: Stack,
    prompts: Sequence[str],
    sampling: Sampling,
    progress: Callable[[int], object] | None = None,
    indices: Sequence[int] | None = None,
) -> list[list[Generation]]:
    """`sampling.samples` continuations of each prompt, in the order of the prompts.

    `indices` number the prompts for the random draws (default: their index in the list), so that a part of a list
    gives what the whole would. `progress` is called with the number of continuations finished.
    """
    numbers = list(indices) if indices is not None else list(range(len(prompts)))
    room = prompt_room(stack, sampling.max_new_tokens)
    texts = [ids[-room:] for ids in stack.model.encode(list(prompts))]
    rows = [(prompt, sample) for prompt in range(len(prompts)) for sample in range(sampling.samples)]
    rows.sort(key=lambda row: len(texts[row[0]]))  # alike lengths together: little padding
    out: list[list[Generation]] = [[] for _ in prompts]
    longest = 1 + stack.longest_prefix + max(map(len, texts), default=0)
    size = batch_rows(stack, longest + sampling.max_new_tokens + stack.branches)
    while rows:
        batch, rest = rows[:size], rows[size:]
        draws = uniforms(sampling.seed, [numbers[p] for p, _ in batch], [s for _, s in batch], sampling.max_new_tokens)
        generations = attempted(partial(_decode, stack, texts, batch, draws, sampling), last=len(batch) == 1)
        if generations is None:
            size = len(batch) // 2
            continue
        for (prompt, _), generation in zip(batch, generations, strict=True):
            out[prompt].append(generation)
        if progress is not None:
            progress(len(batch))
        rows = rest
    return out


def batch_rows(stack: Stack, capacity: int) -> int:
    """Rows that are decoded together, of `capacity` tokens in each pass's cache."""
    more = _ON_GPU if stack.model.device.type == "cuda" else 1
    tokens = _TOKENS_PER_STEP * more // max(1, stack.branches)
    return max(1, min(ROWS_PER_BATCH * more, tokens, rows_that_fit(stack.models, capacity)))


def prompt_room(stack: Stack, new_tokens: int) -> int:
    """Tokens of a prompt that every pass of the stack has room for: of a longer one the end is read."""
    fixed = 1 + stack.longest_prefix
    room = stack.max_positions - fixed - new_tokens
    if room < 1:
        raise InputError(
            f"{fixed} prefix tokens and {new_tokens} new ones leave no room for a prompt in the model's "
            f"{stack.max_positions} positions; shorten the prefix or lower max_new_tokens"
        )
    return room


@torch.inference_mode()
def _decode(
    stack: Stack,
    texts: list[list[int]],
    rows: list[tuple[int, int]],
    draws: torch.Tensor,
    sampling: Sampling,
) -> list[Generation]:
    """One batch of (prompt, sample) rows, whatever follows an end-of-text token left out.

    `texts` are the prompts' token ids, `draws` [rows, steps]. In names, B is the rows that are still being written, T
    the steps, V the vocabulary.
    """
    model = stack.model
    prompts = sorted({prompt for prompt, _ in rows}, key=[prompt for prompt, _ in rows].index)
    row_of = {prompt: row for row, prompt in enumerate(prompts)}
    look_every, compact_below = (
        (_LOOK_EVERY, _COMPACT_BELOW_ON_GPU) if model.device.type == "cuda" else (1, _COMPACT_BELOW)
    )
    steps, width = sampling.max_new_tokens, 1 + stack.longest_prefix + max(len(texts[prompt]) for prompt in prompts)
    draws = draws.to(model.device)
    written_BT = torch.full((len(rows), steps), model.end, device=model.device)
    ends = torch.tensor(model.ends, device=model.device)
    reached_BT = torch.zeros(len(rows), steps, dtype=torch.float64, device=model.device)
    passes = Passes(stack, width + steps + stack.branches)
    with stack.editing(passes.positions):
        logits_BV = passes.prefill([texts[prompt] for prompt in prompts])
        copies = torch.tensor([row_of[prompt] for prompt, _ in rows], device=model.device)
        if len(prompts) < len(rows):  # a prompt is read once, however many samples it gets
            passes.select(copies)
            logits_BV = logits_BV[copies]
        alive, widest = torch.arange(len(rows), device=model.device), 0
        for step in range(steps):
            choices = nucleus(logits_BV, sampling.temperature, sampling.top_p, widest)
            widest = choices.tokens.shape[1]
            done = advance(passes, choices, draws[alive, step], last=step == steps - 1)
            written_BT[alive, step] = done.tokens
            if done.reached is not None:
                reached_BT[alive, step] = done.reached
            if done.logits is None:
                break
            logits_BV = done.logits
            if (step + 1) % look_every:
                continue
            going = ~torch.isin(written_BT[alive, : step + 1], ends).any(-1)
            count = int(going.sum())
            if not count:
                break
            if count < compact_below * len(alive):
                unfinished = going.nonzero()[:, 0]
                passes.select(unfinished)
                logits_BV, alive = logits_BV[unfinished], alive[unfinished]
    looked = reached_BT.tolist() if stack.candidates else [None] * len(rows)
    return [_generation(model, ids, reached) for ids, reached in zip(written_BT.tolist(), looked, strict=True)]


def _generation(model: CausalModel, ids: list[int], reached: list[float] | None) -> Generation:
    stop = next((step for step, token in enumerate(ids) if token in model.ends), None)
    tokens, ended = ids[:stop], stop is not None
    steps = reached[: len(tokens) + ended] if reached else []
    mean = sum(steps) / len(steps) if steps else None
    return Generation(model.decode(tokens), tuple(tokens), ended, mean)
