"""The evaluation `probes`: how well each attention head's output tells toxic from benign text (Li et al. 2025,
arXiv 2505.04741, Fig. 5).

Logistic probes on the output of each query head at a text's last token, accuracy cross-validated over whole
documents. It is a property of the model, so it is measured on the unsteered one only; all arms are probed on the same
texts.
"""

from __future__ import annotations

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import ProbesSpec
from analysis.results import Row
from infra.errors import InputError
from posttrain.labelled import Labelled
from posttrain.shared import labelled_with_activations


class Probes(Evaluation[ProbesSpec]):
    """All heads are one chunk: they share the forward passes."""

    options = ProbesSpec
    reads = ("labelled",)

    def chunks(self) -> int:
        """One for the unsteered model, none for a steered one."""
        return 1 if self.subject.steering is None else 0

    def rows(self, chunk: int) -> list[Row]:
        """One row a head, layer-major. Raises AmountError where there are too few labelled texts."""
        from posttrain.probes import probe_heads

        labelled = self._labelled()
        heads = labelled.computed_by(self.subject.steered.model).heads
        probes = probe_heads(heads, labelled.toxic, labelled.groups, self.spec.folds, self.spec.seed)
        layers, width = probes.accuracy.shape
        return [
            Row(
                prompt=layer * width + head,
                prompt_id=f"layer {layer} head {head}",
                value=float(probes.accuracy[layer, head]),
                tokens=len(labelled.texts),
            )
            for layer in range(layers)
            for head in range(width)
        ]

    def _labelled(self) -> Labelled:
        """The texts, with the activations that steering was fitted on where the study has them."""
        if self.subject.labelled is None:
            raise InputError("probes are fitted on labelled text: give `labelled:`")
        return labelled_with_activations(
            self.subject.labelled,
            self.spec.seed,
            (),
            self.subject.model.location,
            lambda: self.subject.steered.model,
            self.subject.workspace,
        )
