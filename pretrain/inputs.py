"""What a run reads of its mixture, checked against the loss policy and the model before anything is spent."""

from __future__ import annotations

from dataclasses import dataclass

from infra.errors import DataError, InputError
from infra.spec import nearest
from mixtures.built import BuiltMixture
from mixtures.risk import UNSCORED
from pretrain.presets import Architecture, architecture
from pretrain.spec import LossSpec, PretrainSpec


@dataclass(frozen=True)
class Inputs:
    """A built mixture and the architecture that fits it."""

    mixture: BuiltMixture
    shape: Architecture

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components that have training tokens, in the order of the blend."""
        return tuple(part.name for part in self.mixture.components)

    @property
    def replacement(self) -> int:
        """Token that stands for a removed input: <|removed|> where the tokenizer has it, else its padding."""
        facts = self.mixture.facts
        return facts.pad_id if facts.removed_id is None else facts.removed_id

    def samples(self) -> int:
        """Samples of one epoch; every component pads its own last one."""
        length = self.mixture.sequence_length
        return sum(-(-part.tokens // length) for part in self.mixture.components)

    def steps(self, spec: PretrainSpec) -> int:
        """Optimizer steps of the whole run."""
        return spec.epochs * -(-self.samples() // spec.global_batch_size)


def open_inputs(spec: PretrainSpec, *, verify: bool = True) -> Inputs:
    """Open the mixture and complete the model.

    Raises InputError for a mixture that cannot be used or a model that does not fit it, DataError when the policy
    needs a risk that some token does not have: it would be learned as if it were harmless.
    """
    mixture = BuiltMixture.open(spec.mixture, verify=verify)
    if not mixture.components:
        raise InputError(f"{spec.mixture}: the mixture has no training tokens")
    _check_policy(spec.loss, mixture)
    shape = architecture(spec.model, mixture.facts.vocab_size, mixture.sequence_length)
    _check_division(spec, shape)
    return Inputs(mixture, shape)


def _check_policy(loss: LossSpec, mixture: BuiltMixture) -> None:
    records = {record["name"]: record for record in mixture.manifest["components"]}
    for name in loss.components or ():
        if name not in records:
            raise InputError(f"loss.components: no component {name!r} in the mixture{nearest(name, records)}")
    if not loss.needs_risk:
        return
    for name in loss.components or records:
        unscored = records[name].get("risk_histogram", [0])[UNSCORED]
        if records[name]["tokens"] and unscored:
            raise DataError(
                f"{mixture.path}: {unscored:,} tokens of component {name!r} carry no risk, and the loss policy "
                f"asks for it; set `risk:` in the mixture and tag its corpus, or restrict loss.components"
            )


def _check_division(spec: PretrainSpec, shape: Architecture) -> None:
    tensor, pipeline = spec.parallel.tensor, spec.parallel.pipeline
    divided = {
        "num_attention_heads": shape.num_attention_heads,
        "num_query_groups": shape.num_query_groups,
        "ffn_hidden_size": shape.ffn_hidden_size,
        "vocab_size": shape.vocab_size,
    }
    for name, value in divided.items():
        if value % tensor:
            hint = f"; set model.vocab_size: {-(-value // tensor) * tensor}" if name == "vocab_size" else ""
            raise InputError(f"parallel.tensor: {tensor} does not divide {name} ({value}){hint}")
    if shape.num_layers % pipeline:
        raise InputError(f"parallel.pipeline: {pipeline} does not divide num_layers ({shape.num_layers})")
