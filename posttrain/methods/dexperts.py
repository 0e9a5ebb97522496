"""DExperts (Liu et al. 2021, arXiv 2105.03023): logits + alpha (expert - anti-expert).

Both are models of one vocabulary, in the paper the steered model's smaller siblings tuned on benign and toxic text. One
of them may be left out: the steered model then stands there, which for the expert is the paper's "anti-only" ablation.
"""

from __future__ import annotations

from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method, Stream
from posttrain.methods.companions import check_logits, companion, fingerprints
from posttrain.methods.options import DexpertsArgs
from posttrain.model import CausalModel


class Dexperts(Method):
    """Adds alpha times the difference of the experts' logits; the strength is alpha."""

    args = DexpertsArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        signed = ((_expert(fitted, "expert", model), strength), (_expert(fitted, "anti_expert", model), -strength))
        self.streams = tuple(Stream(expert, weight) for expert, weight in signed if expert is not None)
        self.own_weight = sum(weight for expert, weight in signed if expert is None)

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: DexpertsArgs, seed: int) -> Fitted:
        """Nothing to fit: notes which models they are. Raises InputError where their vocabulary is another."""
        fitted = Fitted.of(model, args, {}, FitFacts(models=fingerprints(args)))
        for key in args.models:
            _expert(fitted, key, model)
        return fitted


def _expert(fitted: Fitted, key: str, model: CausalModel) -> CausalModel | None:
    expert = companion(fitted, key, model)
    if expert is not None:
        check_logits(model, expert, f"dexperts: {key}")
    return expert
