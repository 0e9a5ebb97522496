"""The unsteered model: what every method is compared with."""

from __future__ import annotations

from posttrain.fitted import Fitted
from posttrain.labelled import Labelled
from posttrain.methods.base import Method
from posttrain.methods.options import NoneArgs
from posttrain.model import CausalModel


class Unsteered(Method):
    """Plain sampling and plain cross-entropy; the strength means nothing."""

    args = NoneArgs

    @classmethod
    def fit(cls, model: CausalModel, labelled: Labelled | None, args: NoneArgs, seed: int) -> Fitted:
        """Nothing to fit."""
        return Fitted.of(model, args, {})
