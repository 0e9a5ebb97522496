"""Reward-augmented decoding (Deng & Raffel 2023, arXiv 2310.09520): logits + beta * reward of the most probable tokens.

The reward, from 0 to 1, is that of the text which a token would give, from a unidirectional model that reads the text
along with the steered one, so that a candidate costs it one token. The paper fine-tunes GPT-2 small; such a classifier
is given as `classifier`. Without one, ours: logistic regression on the last hidden state of a causal language model.

How candidates are looked at is told in `posttrain.decoding.candidates`: the paper draws from the candidates alone.
"""

from __future__ import annotations

import numpy as np
import torch

from posttrain.activations import last_token
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.companions import check_unchanged, check_vocabulary, companion, fingerprints
from posttrain.methods.options import RadArgs
from posttrain.methods.reward_models import RewardHead, load_classifier
from posttrain.model import CausalModel
from posttrain.probes import Array, assign_folds, fit_logistic


class Rad(Method):
    """Adds beta times the reward to the candidates' logits; the strength is beta."""

    args = RadArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        args = fitted.args
        assert isinstance(args, RadArgs)
        self.candidates, self.measured_positions = args.max_candidates, args.cross_entropy_positions
        if args.classifier is not None:
            check_unchanged(fitted, "classifier", args.classifier)
            self.judge, self.head = judge_and_head(model, args, args.classifier)
        else:
            self.judge = companion(fitted, "backbone", model)
            weight, bias = (fitted.tensors[name].to(model.device) for name in ("weight", "bias"))
            self.head = RewardHead(weight, bias, "sigmoid")

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: RadArgs, seed: int) -> Fitted:
        """A classifier is checked; else the reward is fitted on all texts, its accuracy with documents kept whole."""
        models = fingerprints(args)
        if args.classifier is not None:
            judge_and_head(model, args, args.classifier)
            return Fitted.of(model, args, {}, FitFacts(models=models))
        assert labelled is not None
        bare = Fitted.of(model, args, {}, FitFacts(models=models))
        backbone = companion(bare, "backbone", model)
        read = labelled.computed_by(model) if backbone is None else last_token(backbone, labelled.texts)
        hidden = read.hidden
        benign = ~labelled.toxic
        accuracy = held_out_accuracy(hidden, benign, assign_folds(benign, labelled.groups, args.folds, seed))
        weight, bias = _logistic(hidden, benign)
        facts = FitFacts(models=models, reward_accuracy=round(accuracy, 6), texts=len(labelled.texts))
        return Fitted.of(model, args, {"weight": weight, "bias": bias}, facts)

    def bonus(self, hidden: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """beta times the reward of each candidate; shapes as in `Method.bonus`."""
        return self.strength * self.head.reward(hidden)


def judge_and_head(model: CausalModel, args: RadArgs, location: str) -> tuple[CausalModel, RewardHead]:
    """The classifier at `location`, whose tokenizer must be the steered model's."""
    loaded = load_classifier(location, model.device.type, args.label, args.label_means == "benign")
    check_vocabulary(model, loaded.judge, f"rad: classifier {location}")
    return loaded.judge, loaded.head


def held_out_accuracy(hidden: Array, benign: Array, fold_of: Array) -> float:
    """Share of texts that a reward fitted on the other folds puts on the right side of a half."""
    right = np.empty(len(benign), dtype=bool)
    for fold in np.unique(fold_of):
        out = fold_of == fold
        weight, bias = _logistic(hidden[~out], benign[~out])
        score = torch.from_numpy(hidden[out]).double() @ weight[0] + bias
        right[out] = (score > 0).numpy() == benign[out]
    return float(right.mean())


def _logistic(hidden: Array, benign: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [1, hidden] and bias [1] of a logistic regression for `benign`, float64."""
    return fit_logistic(torch.from_numpy(hidden).double()[None], torch.from_numpy(benign).double())
