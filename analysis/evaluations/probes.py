"""The evaluation `probes`: how well each attention head's output tells toxic from benign text (Li et al. 2025, Fig. 5).

Logistic probes on the output of each query head at a text's last token, accuracy cross-validated over whole
documents. It is a property of the model, so it is measured on the unsteered one only; all arms are probed on the same
texts.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from analysis.evaluations.base import Evaluation, Row
from infra.errors import InputError
from infra.spec import Seed, Spec


class ProbesSpec(Spec):
    """Linear probes of every head, on the texts of `labelled:`."""

    folds: int = Field(5, ge=2)
    """Folds of the cross-validation."""
    seed: Seed = 0
    """Draws the texts and the folds; the same for all arms."""


class Probes(Evaluation):
    """All heads are one chunk: they share the forward passes."""

    options = ProbesSpec
    given: ProbesSpec

    @staticmethod
    def identity(options: ProbesSpec) -> Any:
        """The options; the texts come in with `labelled`."""
        return options.model_dump(mode="json")

    def chunks(self) -> int:
        """One for the unsteered model, none for a steered one."""
        return 1 if self.subject.steering is None else 0

    def rows(self, chunk: int) -> list[Row]:
        """One row a head, layer-major. Raises AmountError where there are too few labelled texts."""
        from posttrain.activations import last_token
        from posttrain.labelled import read_labelled
        from posttrain.probes import probe_heads

        if self.subject.labelled is None:
            raise InputError("probes are fitted on labelled text: give `labelled:`")
        labelled = read_labelled(self.subject.labelled, self.given.seed)
        heads = last_token(self.subject.steered.model, labelled.texts).heads
        found = probe_heads(heads, labelled.toxic, labelled.groups, self.given.folds, self.given.seed)
        layers, width = found.accuracy.shape
        return [
            {
                "prompt": layer * width + head,
                "sample": 0,
                "prompt_id": f"layer {layer} head {head}",
                "value": float(found.accuracy[layer, head]),
                "tokens": len(labelled.texts),
            }
            for layer in range(layers)
            for head in range(width)
        ]
