"""SASA, self-disciplined autoregressive sampling (Ko et al. 2025, arXiv 2410.03818).

Fitting finds the linear boundary between benign and toxic texts in the model's own final hidden states (Gaussians with
a pooled covariance, which is linear discriminant analysis). Decoding asks, for the most probable next tokens, on which
side of it the text would then be, and adds beta * softmax(margins) to their logits.

Three choices are ours. (1) The K candidates are K tokens of one row that see the prefix and themselves only: one
forward of K tokens a step instead of K copies of the cache and a second forward. (2) `max_candidates` bounds K without
truncating the nucleus: the candidates share out anew the probability that they had together, and tokens beyond the K-th
keep theirs. Were the bonus simply added to K logits, it would move mass from the tail to the head, and a gain of mere
truncation would be counted as steering. Where the nucleus has at most K tokens this is the published rule. (3) For
cross-entropy the same rule over the full vocabulary is the model's distribution, measured at a bounded number of
positions; see `token_nats`. Greedy decoding (temperature 0) has one candidate, so SASA changes nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from posttrain.activations import last_token
from posttrain.decoding.cache import SlotCache
from posttrain.decoding.nucleus import Nucleus, inverse_cdf
from posttrain.decoding.state import Decoding, additive
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.options import SasaArgs
from posttrain.model import CausalModel
from posttrain.probes import assign_folds
from posttrain.token_nats import nats_of_hidden

_SMALLEST_EIGENVALUE = 1e-6  # of the pooled covariance; as in the reference implementation (IBM/AISteer360)
_FORWARD_TOKENS = 8192


@dataclass(frozen=True)
class Subspace:
    """`normal` [hidden], unit length, points to the benign side; `centre` [hidden] lies on the boundary."""

    normal: np.ndarray[Any, Any]
    centre: np.ndarray[Any, Any]


def fit_subspace(hidden: np.ndarray[Any, Any], benign: np.ndarray[Any, Any]) -> Subspace:
    """Pooled covariance S = F D F', w = F D^-1 F' (mean_benign - mean_toxic)/2 scaled to unit length, centre between.

    `hidden` [n, hidden], `benign` [n] bool. Eigenvalues up to 1e-6 are dropped.
    """
    benign_NH, toxic_NH = hidden[benign].astype(np.float64), hidden[~benign].astype(np.float64)
    difference = (benign_NH.mean(0) - toxic_NH.mean(0)) / 2
    centred = (benign_NH - benign_NH.mean(0), toxic_NH - toxic_NH.mean(0))
    scatter_HH = sum(class_NH.T @ class_NH for class_NH in centred)
    values, vectors_HH = np.linalg.eigh(scatter_HH / (len(hidden) - 2))
    varies = values > _SMALLEST_EIGENVALUE
    basis_HE = vectors_HH[:, varies]
    normal = basis_HE @ ((basis_HE.T @ difference) / values[varies])
    return Subspace(normal / max(np.linalg.norm(normal), 1e-12), (benign_NH.mean(0) + toxic_NH.mean(0)) / 2)


class Sasa(Method):
    """Adds beta * softmax(margins over the candidates) to the candidates' logits; the strength is beta."""

    args = SasaArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        args = fitted.args
        assert isinstance(args, SasaArgs)
        self.positions = args.cross_entropy_positions
        self.candidates = min(args.max_candidates, model.network.config.vocab_size)
        self.branches = self.candidates + 1
        self.normal = fitted.tensors["normal"].to(model.device)
        self.boundary = float(fitted.tensors["normal"].double() @ fitted.tensors["centre"].double())

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: SasaArgs, seed: int) -> Fitted:
        """Fit the boundary on all texts; its accuracy is cross-validated with documents kept whole."""

        assert labelled is not None
        hidden, benign = last_token(model, labelled.texts).hidden, ~labelled.toxic
        fold_of = assign_folds(benign, labelled.groups, args.folds, seed)
        right = np.empty(len(benign), dtype=bool)
        for fold in range(args.folds):
            out = fold_of == fold
            subspace = fit_subspace(hidden[~out], benign[~out])
            right[out] = ((hidden[out] - subspace.centre) @ subspace.normal > 0) == benign[out]
        subspace = fit_subspace(hidden, benign)
        tensors = {"normal": torch.from_numpy(subspace.normal), "centre": torch.from_numpy(subspace.centre)}
        facts = FitFacts(boundary_accuracy=round(float(right.mean()), 6), texts=len(labelled.texts))
        return Fitted.of(model, args, tensors, facts)

    def margins(self, hidden: torch.Tensor) -> torch.Tensor:
        """Signed distance of hidden states to the boundary, positive on the benign side; float64, last axis gone."""
        return (hidden.float() @ self.normal).double() - self.boundary

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """beta * softmax of the margins over the candidates `inside`; [rows, K, hidden], [rows, K] -> [rows, K]."""
        shares_BK = self.margins(hidden).masked_fill(~inside, -float("inf")).softmax(-1)
        return self.strength * shares_BK

    def advance(
        self, state: Decoding, choices: Nucleus, draws: torch.Tensor, last: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """One step with a single forward of the candidates.

        Where plain sampling takes a token beyond the K-th (the tail), so does steering, as the tail keeps its
        probability; it is known before the forward and travels as one more candidate. Elsewhere the same draw,
        stretched over the candidates, chooses among their new weights. In names: B rows, K candidates, H hidden size.
        """

        if self.strength == 0:
            return super().advance(state, choices, draws, last)
        tokens_BK, weights_BK = choices.tokens[:, : self.candidates], choices.weights[:, : self.candidates]
        plain = choices.pick(draws)
        in_tail = plain >= tokens_BK.shape[1]
        tail_token_B1 = choices.tokens.gather(-1, plain[:, None])
        has_tail = choices.tokens.shape[1] > tokens_BK.shape[1]  # whether a row is in it would have to be waited for
        hidden_BKH = state.branch(torch.cat([tokens_BK, tail_token_B1], -1) if has_tail else tokens_BK)
        bonus_BK = self.bonus(hidden_BKH[:, : tokens_BK.shape[1]], weights_BK > 0)
        # Less the maximum: a large beta overflows
        steered_BK = weights_BK * (bonus_BK - bonus_BK.amax(-1, keepdim=True)).exp()
        stretched = (draws * choices.weights.sum(-1) / weights_BK.sum(-1)).clamp(0, 1 - 1e-16)
        picked = torch.where(in_tail, tokens_BK.shape[1], inverse_cdf(steered_BK, stretched))
        state.keep(picked)
        rows = torch.arange(len(picked), device=picked.device)
        chosen = torch.where(in_tail, tail_token_B1[:, 0], tokens_BK[rows, picked.clamp(max=tokens_BK.shape[1] - 1)])
        return chosen, None if last else self.model.logits(hidden_BKH[rows, picked])

    def token_nats(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Nats under p', which shares out p(C) over the set C of the `max_candidates` likeliest tokens anew.

        p'(x) = p(C) p(x) e^b(x) / sum over C of p e^b for x in C, with b = beta * softmax(margin); p' = p elsewhere, so
        no target has probability 0. p' costs K forwards a position: it is computed at up to `cross_entropy_positions`
        evenly spaced targets of a row, all candidates of all positions as one tree behind the row's cache; their mean
        difference to the plain nats is added to every target. The sum over a row is thus plain nats + targets * mean
        difference.
        """

        rows, length = ids.shape
        size = max(1, _FORWARD_TOKENS // (rows * self.candidates))
        cache = SlotCache(self.model.layout.layers, length + size * self.candidates)
        hidden_BTH = self.model.hidden(ids, past_key_values=cache, use_cache=True)
        cache.commit(length)
        nats_BT = nats_of_hidden(self.model, hidden_BTH, ids, targets)
        if self.strength == 0:
            return nats_BT
        positions_BP, valid_BP = (index.to(ids.device) for index in spaced(targets, self.positions))
        difference_BP = torch.zeros_like(positions_BP, dtype=torch.float64)
        for chunk in torch.arange(positions_BP.shape[1], device=ids.device).split(size):
            difference_BP[:, chunk] = self._difference(ids, hidden_BTH, cache, positions_BP[:, chunk])
        mean = (difference_BP * valid_BP).sum(-1) / valid_BP.sum(-1).clamp(min=1)
        return nats_BT + mean[:, None] * targets.to(ids.device)

    def _difference(self, ids: torch.Tensor, hidden: torch.Tensor, cache: Any, positions: torch.Tensor) -> torch.Tensor:
        """Steered minus plain nats [rows, P] of the tokens at `positions` [rows, P], predicted one position earlier.

        `ids` [rows, T], `hidden` [rows, T, hidden]. In names: B rows, K candidates, Q = P * K, R = B * P, V vocabulary.
        """
        rows, count = positions.shape
        row = torch.arange(rows, device=ids.device)[:, None]
        log_p_BPV = self.model.logits(hidden[row, positions - 1]).double().log_softmax(-1)
        top_BPK, candidates_BPK = log_p_BPV.topk(self.candidates, -1)
        position_BQ = positions[:, :, None].expand(rows, count, self.candidates).flatten(1)
        # A candidate sees the text before its position and itself, and none of the other candidates.
        before_BQT = torch.arange(ids.shape[1], device=ids.device) < position_BQ[:, :, None]
        itself_BQQ = torch.eye(position_BQ.shape[1], dtype=torch.bool, device=ids.device).expand(rows, -1, -1)
        branches_BQH = self.model.hidden(
            candidates_BPK.flatten(1),
            attention_mask=additive(torch.cat([before_BQT, itself_BQQ], -1), self.model),
            position_ids=position_BQ,
            past_key_values=cache,
            use_cache=True,
        )
        branches_RKH = branches_BQH.view(rows * count, self.candidates, -1)
        inside_RK = torch.ones(branches_RKH.shape[:2], dtype=torch.bool, device=ids.device)
        bonus_BPK = self.bonus(branches_RKH, inside_RK).view(top_BPK.shape)
        is_target_BPK = candidates_BPK == ids.gather(1, positions)[:, :, None]
        nats_BP = (top_BPK + bonus_BPK).logsumexp(-1) - top_BPK.logsumexp(-1) - (bonus_BPK * is_target_BPK).sum(-1)
        return torch.where(is_target_BPK.any(-1), nats_BP, 0.0)


def spaced(targets: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to `count` evenly spaced True positions of each row whose True positions are contiguous.

    Returns positions [rows, count] and which of them are meant (a row with fewer targets repeats its last).
    """
    total = targets.sum(-1, keepdim=True)
    used = total.clamp(max=count)
    order = torch.arange(count, device=targets.device)
    step = ((order + 0.5) * total / used.clamp(min=1)).long()
    first = targets.int().argmax(-1, keepdim=True)
    valid = order < used
    return (first + torch.where(valid, step, (total - 1).clamp(min=0))).clamp(min=1), valid
