"""The evaluation `recognition`: does the model, steered or not, tell toxic from benign text (Wang et al. 2025, arXiv
2505.03052: understanding beside generation)?

A linear probe reads the last token's state; every text has its probability of being toxic from a probe that has seen
nothing of its document. AUROC is computed later from these rows. The model reads each text under its recipe: behind the
prefix, and with activations edited at every position, as in cross-entropy. What a recipe does to logits alone changes
no state, and the figure is then that of the plain model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import RecognitionSpec
from analysis.results import Row
from infra.artifacts.fingerprint import digest
from infra.errors import InputError
from posttrain.labelled import Labelled, read_labelled
from posttrain.shared import labelled_with_activations, labels_fingerprint
from posttrain.spec import AnyLabelled

if TYPE_CHECKING:
    from posttrain.activations import Activations

TOXIC, BENIGN = "toxic", "benign"


class Recognition(Evaluation[RecognitionSpec]):
    """All states are one chunk: they share the forward passes."""

    options = RecognitionSpec
    reads = ("labelled",)

    @staticmethod
    def identity(options: RecognitionSpec) -> dict[str, Any]:
        """Options with the content of a file of texts; those of `labelled:` are an input of the analysis."""
        if options.texts is None:
            return options.identity()
        return {**options.identity(), "texts": {**options.texts.identity(), "file": labels_fingerprint(options.texts)}}

    def chunks(self) -> int:
        """Always one."""
        return 1

    def rows(self, chunk: int) -> list[Row]:
        """One row a text and state. Raises AmountError where there are too few texts, InputError for a layer that the
        model does not have.
        """
        from posttrain.text_probe import held_out_probabilities

        labelled, activations = self._read()
        rows = []
        for instance, states in self._states(activations):
            probes = held_out_probabilities(states, labelled.toxic, labelled.groups, self.spec.folds, self.spec.seed)
            known = bool(np.isfinite(probes.probability).all())
            rows += [
                Row(
                    instance=instance,
                    prompt=number,
                    sample=int(probes.fold[number]),
                    prompt_id=digest(text)[:16],
                    group=TOXIC if labelled.toxic[number] else BENIGN,
                    value=float(probes.probability[number]) if known else None,
                    reason=None if known else "the model's states are no numbers",
                    tokens=int(probes.fitted_on[number]),
                )
                for number, text in enumerate(labelled.texts)
            ]
        return rows

    def _read(self) -> tuple[Labelled, Activations]:
        """The texts with what the model computes on them; the plain model's pass over the study's texts is shared."""
        section = self._texts()
        if self.spec.texts is None and not self.subject.recipe:
            workspace, model = self.subject.workspace, self.subject.model
            seed, load = self.spec.seed, lambda: model.loaded
            shared = labelled_with_activations(section, seed, (), model.location, load, workspace)
            assert shared.activations is not None
            return shared, shared.activations
        labelled = read_labelled(section, self.spec.seed)
        return labelled, self._pass(labelled)

    def _texts(self) -> AnyLabelled:
        section = self.spec.texts or self.subject.labelled
        if section is None:
            raise InputError("recognition is measured on labelled text: give `texts:` to it, or `labelled:`")
        return section

    def _pass(self, labelled: Labelled) -> Activations:
        from posttrain.activations import last_token
        from posttrain.methods.base import EditedPositions

        stack, workspace = self.subject.steered.stack, self.subject.workspace
        with (
            workspace.progress("reading labelled texts", len(labelled.texts), "texts") as advance,
            stack.editing(EditedPositions(everywhere=True)),
        ):
            return last_token(stack.model, labelled.texts, advance, scratch=workspace.path, prefix=stack.prefix)

    def _states(self, activations: Activations) -> Iterator[tuple[str | None, np.ndarray[Any, Any]]]:
        """(instance, states [n, hidden]): the final hidden state, then the residual stream after layers asked for."""
        yield None, activations.hidden
        for layer in self.spec.layers:
            if layer >= len(activations.residual):
                raise InputError(f"recognition: no layer {layer}; the model has {len(activations.residual)}, from 0 on")
            yield f"layer {layer}", activations.residual[layer]
