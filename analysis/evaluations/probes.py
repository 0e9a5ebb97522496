"""The evaluation `probes`: how well each attention head's output tells toxic from benign text (Li et al. 2025,
arXiv 2505.04741, Fig. 5), and how the activations lie.

Logistic probes on the output of each query head at a text's last token, accuracy cross-validated over whole
documents. It is a property of the model, so it is measured on the unsteered one only; all arms are probed on the same
texts. What is measured beside accuracy has an `instance` of its own:

| instance | prompt | value |
|---|---|---|
| margin | ordinal of the head | mean signed distance of held-out texts from the boundary, in deviations of a class |
| effective_rank | ordinal of the head | exp of the entropy of the singular values of its outputs |
| residual_effective_rank | layer | the same of the residual stream after it |
| entanglement_ESTIMATOR | layer | E of the attribute's direction against those of `attributes`; the nearest in words |
| tokens | text; `sample` is the token, `generation` its piece, `group` the text's class | probability of being toxic |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from analysis.evaluations.base import Evaluation
from analysis.evaluations.options import ProbesSpec
from analysis.geometry.head_probes import HeadProbesSpec, stored_probes
from analysis.results import TOKENS, Row
from infra.errors import InputError
from posttrain.labelled import Labelled
from posttrain.shared import labelled_with_activations

if TYPE_CHECKING:
    from posttrain.probes import HeadProbes
    from posttrain.spec import AnyLabelled


class Probes(Evaluation[ProbesSpec]):
    """All heads are one chunk: they share the forward passes."""

    options = ProbesSpec
    reads = ("labelled",)

    def chunks(self) -> int:
        """One for the unsteered model, none for a steered one."""
        return 1 if self.subject.steering is None else 0

    def rows(self, chunk: int) -> list[Row]:
        """One row a head, layer-major, then those of further instances. Raises AmountError where there are too few
        labelled texts.
        """
        labelled = self._labelled()
        heads = labelled.computed_by(self.subject.steered.model).heads
        probes = stored_probes(self._probes_spec(), labelled, heads, self.subject.workspace)
        rows = list(self._by_head(None, probes.accuracy, labelled))
        if self.spec.geometry:
            rows += self._geometry(probes, labelled)
        if self.spec.attributes:
            rows += self._entanglement()
        return [*rows, *self._tokens(probes, labelled)]

    def _geometry(self, probes: HeadProbes, labelled: Labelled) -> Iterator[Row]:
        from analysis.geometry.spectrum import effective_rank

        activations = labelled.computed_by(self.subject.steered.model)
        ranks = [effective_rank(layer.swapaxes(0, 1)) for layer in activations.heads]
        yield from self._by_head("margin", probes.margin, labelled)
        yield from self._by_head("effective_rank", ranks, labelled)
        for layer, stream in enumerate(activations.residual):
            value, name = float(effective_rank(stream)), f"layer {layer}"
            yield Row(instance="residual_effective_rank", prompt=layer, prompt_id=name, value=value,
                      tokens=len(labelled.texts))  # fmt: skip

    def _entanglement(self) -> Iterator[Row]:
        """Of the attribute of `labelled:` against the further ones."""
        from analysis.geometry.attributes import attribute_entanglement

        names = (self._section().attribute, *self.spec.attributes)
        attributes = self._labelled(names).attributes
        if len(attributes) < len(names):
            raise InputError(f"probes: `attributes` holds {names[0]}, which is the attribute of `labelled:`; "
                             "take it out")  # fmt: skip
        texts = len(attributes[names[0]].texts)
        for at in attribute_entanglement(attributes, self.subject.steered.model):
            name = f"layer {at.layer}, nearest {at.nearest}"
            yield Row(instance=f"entanglement_{at.estimator}", prompt=at.layer, prompt_id=name, value=at.entanglement,
                      tokens=texts)  # fmt: skip

    def _tokens(self, probes: HeadProbes, labelled: Labelled) -> Iterator[Row]:
        if not self.spec.token_texts:
            return
        from posttrain.token_scores import score_tokens

        scored = score_tokens(self.subject.steered.model, labelled, probes.accuracy, self.spec.token_texts)
        for number, text in enumerate(scored):
            told: dict[str, Any] = {"prompt_id": f"text {number}", "group": "toxic" if text.toxic else "benign"}
            for token, (piece, score) in enumerate(zip(text.pieces, text.scores, strict=True)):
                yield Row(instance=TOKENS, prompt=number, sample=token, generation=piece, value=score,
                          tokens=len(labelled.texts), **told)  # fmt: skip

    def _by_head(self, instance: str | None, figures: Any, labelled: Labelled) -> Iterator[Row]:
        """Rows of `figures` [layers, heads]."""
        for layer, of_layer in enumerate(figures):
            for head, value in enumerate(of_layer):
                yield Row(
                    instance=instance,
                    prompt=layer * len(of_layer) + head,
                    prompt_id=f"layer {layer} head {head}",
                    value=float(value),
                    tokens=len(labelled.texts),
                )

    def _probes_spec(self) -> HeadProbesSpec:
        section = self._section()
        drawn = section if section.seed is not None else section.model_copy(update={"seed": self.spec.seed})
        return HeadProbesSpec(
            model=self.subject.model.location, labelled=drawn, folds=self.spec.folds, seed=self.spec.seed
        )

    def _section(self) -> AnyLabelled:
        if self.subject.labelled is None:
            raise InputError("probes are fitted on labelled text: give `labelled:`")
        return self.subject.labelled

    def _labelled(self, attributes: tuple[str, ...] = ()) -> Labelled:
        """The texts, with the activations that steering was fitted on where the study has them."""
        return labelled_with_activations(
            self._section(),
            self.spec.seed,
            attributes,
            self.subject.model.location,
            lambda: self.subject.steered.model,
            self.subject.workspace,
        )
