"""Prefixes that the model was pretrained with (MEDA and INST, Prabhumoye et al. 2023, arXiv 2302.07388), and guidance
towards them: logits = plain + strength * (good - plain), or plain + strength * (good - bad).

Strength 1 without the bad prefix is the paper's use, the good prefix before every text; beyond it is classifier-free
guidance (Sanchez et al. 2023, arXiv 2306.17806), which costs a pass more.
"""

from __future__ import annotations

from infra.errors import InputError
from posttrain.fitted import FitFacts, Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method, Stream
from posttrain.methods.options import ConditionedArgs
from posttrain.methods.trained_prefixes import trained_prefix
from posttrain.model import CausalModel


class Conditioned(Method):
    """Guides towards the good prefix; the strength is the scale."""

    args = ConditionedArgs

    def __init__(self, model: CausalModel, fitted: Fitted, strength: float) -> None:
        super().__init__(model, fitted, strength)
        args = fitted.args
        assert isinstance(args, ConditionedArgs) and args.good is not None
        good, bad = control_tokens(model, args.good), control_tokens(model, args.bad or "")
        if not bad and strength == 1:
            self.prefix = good  # the same distribution in one pass
            return
        signed = ((good, strength), (bad, -strength))
        self.streams = tuple(Stream(model, weight, prefix) for prefix, weight in signed if prefix)
        self.own_weight = sum(weight for prefix, weight in signed if not prefix)

    @classmethod
    def completed(cls, args: ConditionedArgs, location: str) -> ConditionedArgs:
        """The prefixes that were not given, as the mixture of the model's pretraining has them."""
        needs_bad = args.against == "bad" and args.bad is None
        good = trained_prefix(location, args.attribute, 0.0, "good") if args.good is None else args.good
        bad = trained_prefix(location, args.attribute, 1.0, "bad") if needs_bad else args.bad
        return args.model_copy(update={"good": good, "bad": bad})

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: ConditionedArgs, seed: int) -> Fitted:
        """Nothing to fit. Raises InputError for prefixes that are alike or too long."""
        if args.good is None:
            raise InputError("conditioned: give the `good` prefix that the model was trained with")
        if args.good == (args.bad or ""):
            raise InputError(f"conditioned: the good prefix {args.good!r} is what it is compared with")
        tokens = max(len(control_tokens(model, text)) for text in (args.good, args.bad or ""))
        if 2 * tokens > model.max_positions:
            raise InputError(f"conditioned: a prefix has {tokens} tokens, and the model reads {model.max_positions}")
        return Fitted.of(model, args, {}, FitFacts(prompt_tokens=tokens))


def control_tokens(model: CausalModel, text: str) -> tuple[int, ...]:
    """Tokens of a prefix as mixtures write them: a special token that it spells is that token.

    Raises InputError for one that holds the end-of-text token.
    """
    ids = tuple(model.encode([text], special=True)[0]) if text else ()
    if set(model.ends) & set(ids):
        raise InputError(f"conditioned: the prefix {text!r} holds the end-of-text token, which would end it")
    return ids
