"""Looking ahead: the likeliest tokens are weighed by what the judge makes of the text that each would give.

Two choices are ours. (1) The K candidates are K tokens of one row that see the prefix and themselves only: one forward
of K tokens a step instead of K copies of the cache and a second forward. (2) A bound on K does not truncate the
nucleus: the candidates share out anew the probability that they had together, and tokens beyond the K-th keep theirs.
Were the bonus simply added to K logits, it would move mass from the tail to the head, and a gain of mere truncation
would be counted as steering. Where all that can be drawn is a candidate, this is the published rule of SASA. Greedy
decoding (temperature 0) has one candidate, so looking ahead changes nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posttrain.decoding.nucleus import Nucleus, inverse_cdf
from posttrain.decoding.passes import Passes


@dataclass(frozen=True)
class Step:
    """One step of every row: `tokens` [rows], the `logits` after them (None after the last step), and `reached` [rows]:
    the share that the candidates held of the probability of all that could be drawn (None where none were looked at).
    """

    tokens: torch.Tensor
    logits: torch.Tensor | None
    reached: torch.Tensor | None = None


def advance(passes: Passes, choices: Nucleus, draws: torch.Tensor, last: bool) -> Step:
    """Choose the next token of each row and append it. `draws` [rows] are this step's uniform numbers; after the `last`
    step no logits are needed.
    """
    if passes.stack.candidates:
        return _look_ahead(passes, choices, draws, last)
    tokens = choices.tokens.gather(-1, choices.pick(draws)[:, None])[:, 0]
    return Step(tokens, None if last else passes.extend(tokens))


def within(weights: torch.Tensor, mass: float) -> torch.Tensor:
    """Which of the weights [..., K], largest first, are needed to reach `mass`; bool. Those of 0 never are."""
    return (weights > 0) & (weights.cumsum(-1) - weights < mass)


def _look_ahead(passes: Passes, choices: Nucleus, draws: torch.Tensor, last: bool) -> Step:
    """One step with a single forward of the candidates. In names: B rows, K candidates, H hidden size.

    Where plain sampling takes a token beyond the candidates (the tail), so does steering, as the tail keeps its
    probability; it is known before the forward, and takes the place of the row's first candidate. Elsewhere the same
    draw, stretched over the candidates, chooses among their new weights.
    """
    stack, rows = passes.stack, torch.arange(len(draws), device=draws.device)
    weights_BK = choices.weights[:, : stack.candidates]
    inside_BK = within(weights_BK, stack.candidate_mass)
    if stack.candidate_mass < 1:
        inside_BK = inside_BK[:, : int(inside_BK.sum(-1).amax())]
    count = inside_BK.shape[1]
    tokens_BK, weights_BK = choices.tokens[:, :count].clone(), weights_BK[:, :count] * inside_BK
    plain = choices.pick(draws)
    in_tail = plain >= inside_BK.sum(-1)
    tokens_BK[:, 0] = torch.where(in_tail, choices.tokens[rows, plain], tokens_BK[:, 0])
    hidden_BKH = passes.branch(tokens_BK)
    bonus_BK = stack.bonus(hidden_BKH, inside_BK).masked_fill(~inside_BK, -float("inf"))
    # Less the maximum: a large bonus overflows
    steered_BK = weights_BK * (bonus_BK - bonus_BK.amax(-1, keepdim=True)).exp()
    total, mass = choices.weights.sum(-1), weights_BK.sum(-1)
    picked = inverse_cdf(steered_BK, (draws * total / mass).clamp(0, 1 - 1e-16)).masked_fill(in_tail, 0)
    tokens = tokens_BK[rows, picked]
    return Step(tokens, None if last else passes.keep(picked, tokens, hidden_BKH), mass / total)
