"""The decoding loop: many continuations of many prompts, in large batches, independent of how they are batched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from infra.errors import InputError
from posttrain.decoding.nucleus import nucleus, uniforms
from posttrain.decoding.state import Decoding
from posttrain.methods.base import Method
from posttrain.model import CausalModel

ROWS_PER_BATCH = 256
_TOKENS_PER_STEP = 2048  # candidates of all rows in one forward; more only spills the caches of a CPU
_ON_GPU = 8  # times as many of both: launching a step takes as long for one row as for a thousand
_CACHE_SHARE = 0.25  # of a GPU's memory, for keys and values
_LOOK_EVERY = 8  # steps of a GPU between looks at which rows have ended, as a look waits for all that was launched
_COMPACT_BELOW = 0.75  # share of rows still being written below which the finished ones are dropped from the batch


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
    """One continuation: its text, its token ids (without the end-of-text token), and whether it ended by itself."""

    text: str
    tokens: tuple[int, ...]
    ended: bool


def generate(
    model: CausalModel,
    method: Method,
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
    contexts = [context(model, method, ids, sampling.max_new_tokens) for ids in model.encode(list(prompts))]
    rows = [(prompt, sample) for prompt in range(len(prompts)) for sample in range(sampling.samples)]
    rows.sort(key=lambda row: len(contexts[row[0]]))  # alike lengths together: little padding
    out: list[list[Generation]] = [[] for _ in prompts]
    capacity = max(map(len, contexts), default=0) + sampling.max_new_tokens + method.branches
    size = batch_rows(model, method, capacity)
    for first in range(0, len(rows), size):
        batch = rows[first : first + size]
        draws = uniforms(sampling.seed, [numbers[p] for p, _ in batch], [s for _, s in batch], sampling.max_new_tokens)
        for (prompt, _), ids in zip(batch, _decode(model, method, contexts, batch, draws, sampling), strict=True):
            out[prompt].append(_generation(model, ids))
        if progress is not None:
            progress(len(batch))
    return out


def batch_rows(model: CausalModel, method: Method, capacity: int) -> int:
    """Rows that are decoded together, of `capacity` tokens in the cache."""
    rows, tokens = ROWS_PER_BATCH, _TOKENS_PER_STEP
    if model.device.type == "cuda":
        memory = torch.cuda.get_device_properties(model.device).total_memory
        rows = min(rows * _ON_GPU, int(memory * _CACHE_SHARE) // (capacity * model.cache_bytes))
        tokens *= _ON_GPU
    return max(1, min(rows, tokens // max(1, method.branches)))


def context(model: CausalModel, method: Method, prompt: list[int], new_tokens: int) -> list[int]:
    """Start token, the method's prefix and the end of the prompt: what fits beside `new_tokens` new ones."""
    fixed = [model.start, *method.prefix]
    room = model.max_positions - len(fixed) - new_tokens
    if room < 1:
        raise InputError(
            f"{len(fixed)} prefix tokens and {new_tokens} new ones leave no room for a prompt in the model's "
            f"{model.max_positions} positions; shorten the prefix or lower max_new_tokens"
        )
    return fixed + prompt[-room:]


@torch.inference_mode()
def _decode(
    model: CausalModel,
    method: Method,
    contexts: list[list[int]],
    rows: list[tuple[int, int]],
    draws: torch.Tensor,
    sampling: Sampling,
) -> list[list[int]]:
    """Token ids of one batch of (prompt, sample) rows, whatever follows an end-of-text token included.

    `draws` [rows, steps]. In names, B is the rows that are still being written, T the steps, V the vocabulary.
    """
    prompts = sorted({prompt for prompt, _ in rows}, key=[prompt for prompt, _ in rows].index)
    row_of = {prompt: row for row, prompt in enumerate(prompts)}
    look_every = _LOOK_EVERY if model.device.type == "cuda" else 1
    steps, width = sampling.max_new_tokens, max(len(contexts[prompt]) for prompt in prompts)
    draws = draws.to(model.device)
    written_BT = torch.full((len(rows), steps), model.end, device=model.device)
    state = Decoding(model, width + steps + method.branches)
    with method.editing():
        logits_BV = state.prefill([contexts[prompt] for prompt in prompts])
        copies = torch.tensor([row_of[prompt] for prompt, _ in rows], device=model.device)
        if len(prompts) < len(rows):  # a prompt is read once, however many samples it gets
            state.select(copies)
            logits_BV = logits_BV[copies]
        alive, widest = torch.arange(len(rows), device=model.device), 0
        for step in range(steps):
            choices = nucleus(logits_BV, sampling.temperature, sampling.top_p, widest)
            widest = choices.tokens.shape[1]
            tokens, following = method.advance(state, choices, draws[alive, step], last=step == steps - 1)
            written_BT[alive, step] = tokens
            if following is None:
                break
            logits_BV = following
            if (step + 1) % look_every:
                continue
            going = (written_BT[alive, : step + 1] != model.end).all(-1)
            count = int(going.sum())
            if not count:
                break
            if count < _COMPACT_BELOW * len(alive):
                unfinished = going.nonzero()[:, 0]
                state.select(unfinished)
                logits_BV, alive = logits_BV[unfinished], alive[unfinished]
    return written_BT.tolist()


def _generation(model: CausalModel, ids: list[int]) -> Generation:
    ended = model.end in ids
    tokens = ids[: ids.index(model.end)] if ended else ids
    return Generation(model.decode(tokens), tuple(tokens), ended)
