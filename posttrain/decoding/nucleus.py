"""Nucleus (top-p) sampling by inverse CDF from numbers drawn beforehand.

Each draw belongs to (seed, prompt, sample, step) and to nothing else: two arms or two methods meet the same luck, which
makes their comparison a paired one, and a prompt gives the same text in whatever batch it runs, up to the rounding of
the logits, which kernels choose by the size of the batch. In float32 (relative 1e-7) another text is rare: the draw has
to fall between two tokens, or on one of two whose probabilities are equal to seven digits (once in some 10^4 tokens
where the nucleus holds hundreds). In bfloat16 (on a GPU) the nucleus is made from float32 logits too, but the hidden
states behind them carry 8 bits: there another batch gives another text now and then, from the same distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import pad

_FIRST_WIDTH = 64
_BLOCK = 1 << 20  # logits that a CPU takes on at once: what is made of them stays in its cache
_FEW = 1 << 15  # logits of which plain top-k is quicker than several small operations
_DENSE = 4  # a nucleus of more than one token in so many is sorted out of the whole vocabulary


@dataclass(frozen=True)
class Nucleus:
    """The smallest set of most probable tokens whose mass reaches top_p, most probable first.

    `tokens` [rows, width] are ids; `weights` [rows, width] float64 are their probabilities at the given temperature
    (not renormalised), 0 where a row's nucleus is narrower than the widest of the batch.
    """

    tokens: torch.Tensor
    weights: torch.Tensor

    def pick(self, draws: torch.Tensor) -> torch.Tensor:
        """Index into `tokens` for one uniform number per row."""
        return inverse_cdf(self.weights, draws)


def inverse_cdf(weights: torch.Tensor, draws: torch.Tensor) -> torch.Tensor:
    """The first index whose cumulative weight exceeds draw x total; [rows, width], [rows] in [0, 1) -> [rows]."""
    cumulative_BK = weights.cumsum(-1)
    index = (cumulative_BK <= (draws * cumulative_BK[:, -1])[:, None]).sum(-1)
    # Rounding may leave the target at the total; the last token with any weight is then the answer.
    columns = torch.arange(weights.shape[-1], device=weights.device)
    return torch.minimum(index, ((weights > 0) * columns).amax(-1))


def nucleus(
    logits: torch.Tensor, temperature: float = 1.0, top_p: float = 1.0, width_hint: int = _FIRST_WIDTH
) -> Nucleus:
    """Nucleus of each row of float32 `logits` [rows, vocabulary]; temperature 0 is greedy decoding.

    Only as many logits are sorted as the widest nucleus needs: a full sort of a 50,000-token vocabulary costs more
    than the forward pass of a small model. `width_hint` (the width at the step before) changes the time, never the
    result.
    """
    if temperature == 0:
        best = logits.max(-1, keepdim=True)
        first = (logits == best.values).int().argmax(-1, keepdim=True)
        return Nucleus(first, torch.ones_like(first, dtype=torch.float64))
    rows = max(1, _BLOCK // logits.shape[1]) if logits.device.type == "cpu" else len(logits)
    return _stacked([_nucleus(block, temperature, top_p, width_hint) for block in logits.split(rows)])


def _nucleus(logits: torch.Tensor, temperature: float, top_p: float, width_hint: int) -> Nucleus:
    vocabulary = logits.shape[-1]
    scaled = logits / temperature if temperature != 1 else logits
    total = scaled.logsumexp(-1, keepdim=True).double()
    width = vocabulary if top_p >= 1 else min(vocabulary, max(_FIRST_WIDTH, width_hint + width_hint // 4))
    while True:
        tokens, weights, facts = likeliest(scaled, total, width, top_p)
        widest, beyond = facts.tolist()  # the one time that a step waits for a GPU
        if width == vocabulary or not beyond:
            return Nucleus(tokens[:, :widest], weights[:, :widest])
        width = min(vocabulary, width * 4)


def _stacked(blocks: list[Nucleus]) -> Nucleus:
    """Rows of all blocks, the narrower ones padded with token 0 at weight 0."""
    if len(blocks) == 1:
        return blocks[0]
    widest = max(block.tokens.shape[1] for block in blocks)
    tokens = [pad(block.tokens, (0, widest - block.tokens.shape[1])) for block in blocks]
    weights = [pad(block.weights, (0, widest - block.weights.shape[1])) for block in blocks]
    return Nucleus(torch.cat(tokens), torch.cat(weights))


def likeliest(
    scaled: torch.Tensor, total: torch.Tensor, width: int, top_p: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `width` likeliest tokens of each row and their weights, 0 outside the nucleus; shapes as in `Nucleus`.

    `scaled` [rows, vocabulary] are logits over temperature and `total` [rows, 1] their log-sum-exp in float64. The
    third tensor, [2], says how wide the widest nucleus is, and whether one may go on beyond `width`.
    """
    values, tokens = _sorted_top(scaled, width)
    weights = (values.double() - total).exp()
    before = weights.cumsum(-1) - weights
    # Rounding can bring the sum of all weights to 1 before the last token; top_p 1 means every token.
    inside = before < top_p if top_p < 1 else torch.ones_like(before, dtype=torch.bool)
    # A tie with the last value seen may go on beyond it, and which of equals comes within is not defined.
    beyond = (inside & (values == values[:, -1:])).any()
    return tokens, weights * inside, torch.stack([inside.sum(-1).amax(), beyond.long()])


def _sorted_top(values: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `width` largest of each row, largest first, equals in order of token id."""
    vocabulary = values.shape[-1]
    if width * _DENSE <= vocabulary:
        few = values.numel() < _FEW
        tokens = values.topk(width, -1, sorted=False).indices if few else _contenders(values, width)
        keys = _keys(values.gather(-1, tokens), tokens)
    else:
        keys = _keys(values, torch.arange(vocabulary, device=values.device))
    tokens = _smallest(keys, width) & 0xFFFFFFFF
    return values.gather(-1, tokens), tokens


def _contenders(values: torch.Tensor, width: int) -> torch.Tensor:
    """Token ids [rows, more than width] among which the `width` largest of each row are.

    Tokens are dealt into groups; the `width` groups with the largest maxima hold the `width` largest tokens. That
    takes one pass over the vocabulary, where top-k takes several.
    """
    rows, vocabulary = values.shape
    size = int((vocabulary / width) ** 0.5)
    groups = vocabulary // size
    maxima = values[:, : size * groups].view(rows, size, groups).amax(1)
    best = maxima.topk(width, -1, sorted=False).indices
    tokens = best[:, None] + groups * torch.arange(size, device=values.device)[:, None]
    rest = torch.arange(size * groups, vocabulary, device=values.device).expand(rows, -1)
    return torch.cat([tokens.flatten(1), rest], -1)


def _keys(values: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """An int64 for each value and token id, in whose order larger values come first, and of equals smaller ids.

    The bits of a float, taken as an integer, are in order of size; those of a negative one in reverse.
    """
    bits = (values + 0.0).view(torch.int32)  # -0.0 becomes 0.0, which it equals
    falling = torch.where(bits < 0, bits & 0x7FFFFFFF, ~bits)
    return (falling.long() << 32) | tokens


def _smallest(keys: torch.Tensor, width: int) -> torch.Tensor:
    """The `width` smallest of each row in order. On a CPU by NumPy, which sorts with vector instructions."""
    if keys.device.type != "cpu":
        return keys.topk(width, -1, largest=False).values
    array = keys.numpy()
    if width < array.shape[1]:
        array = np.partition(array, width - 1, axis=-1)[:, :width]
    return torch.from_numpy(np.sort(array, axis=-1))


def uniforms(seed: int, prompts: Sequence[int], samples: Sequence[int], steps: int) -> torch.Tensor:
    """Draws for rows (prompt index, sample index), [rows, steps] float64 in [0, 1).

    Philox is counter-based: key = seed, counter = (block, 0, sample, prompt). Draws of the first steps do not depend
    on how many steps are asked.
    """
    draws_BT = np.empty((len(prompts), steps))
    for row, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
        generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, sample, prompt]))
        draws_BT[row] = generator.random(steps)
    return torch.from_numpy(draws_BT)
