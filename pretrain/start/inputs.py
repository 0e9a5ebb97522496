"""What a run reads of its mixture, checked against the loss policy and the model before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from infra.config.faults import nearest
from infra.errors import DataError, InputError
from mixtures.reading.built import BuiltMixture
from mixtures.tokenizing.tokenizer import TokenizerFacts
from pretrain.data.schedule import Epoch, schedule_of, streams_of
from pretrain.loss.spec import LossSpec
from pretrain.model.architecture import Architecture
from pretrain.spec import ParallelSpec, PretrainSpec
from pretrain.start.origin import starting_architecture


@dataclass(frozen=True)
class Inputs:
    """A built mixture and the architecture that fits it."""

    mixture: BuiltMixture
    architecture: Architecture

    @property
    def components(self) -> tuple[str, ...]:
        """Names of the components that have training tokens, in the order of the blend."""
        return tuple(component.name for component in self.mixture.components)

    @property
    def replacement(self) -> int:
        """Token that stands for a removed input: <|removed|> where the tokenizer has it, else its padding."""
        return replacement_of(self.mixture.facts)

    def schedule(self, spec: PretrainSpec) -> tuple[Epoch, ...]:
        """The epochs of the run over the mixture's documents, in order."""
        length = self.mixture.sequence_length
        return schedule_of(streams_of(self.mixture), length, spec.epochs, spec.global_batch_size)

    def steps(self, spec: PretrainSpec) -> int:
        """Optimizer steps of the whole run."""
        return sum(epoch.steps for epoch in self.schedule(spec))


def replacement_of(facts: TokenizerFacts) -> int:
    """<|removed|> where the tokenizer has it, else its padding."""
    return facts.pad_id if facts.removed_id is None else facts.removed_id


def open_inputs(spec: PretrainSpec, *, verify: bool = True) -> Inputs:
    """Open the mixture and complete the model.

    Raises InputError for a mixture that cannot be used or a model that does not fit it, DataError when the policy
    needs a risk that some token does not have: it would be learned as if it were harmless.
    """
    mixture = BuiltMixture.open(spec.mixture, verify=verify)
    if not mixture.components:
        raise InputError(f"{spec.mixture}: the mixture has no training tokens")
    _check_policy(spec.loss, mixture)
    architecture = (
        Architecture.from_spec(spec.model, mixture.facts.vocab_size, mixture.sequence_length)
        if spec.start_from is None
        else starting_architecture(spec, spec.start_from, mixture)
    )
    _check_division(spec.parallel, architecture, mixture.sequence_length)
    return Inputs(mixture, architecture)


def check_inputs(specs: Sequence[PretrainSpec], verify: bool) -> None:
    """Raise what is wrong with the inputs of trainings that are about to start, and not once they had their turn.

    With `verify` every byte of a mixture is compared with its checksum, once for all of them.
    """
    verified: set[str] = set()
    for spec in specs:
        open_inputs(spec, verify=verify and spec.mixture not in verified)
        verified.add(spec.mixture)


def _check_policy(loss: LossSpec, mixture: BuiltMixture) -> None:
    records = {record.name: record for record in mixture.manifest.components}
    for key, names in (("components", loss.components or ()), ("by_component", loss.by_component)):
        for name in names:
            if name not in records:
                raise InputError(f"loss.{key}: no component {name!r} in the mixture{nearest(name, records)}")
    if loss.attribute not in (None, mixture.risk):
        raise InputError(f"loss.attribute: {loss.attribute!r}, and the mixture's risk bytes are of {mixture.risk!r}")
    removing = [name for name in records if any(band.do == "remove" for band in loss.bands_of(name))]
    if removing and replacement_of(mixture.facts) == mixture.facts.eos_id:
        raise InputError(
            f"loss: remove ({', '.join(removing)}): the tokenizer has neither <|removed|> nor a padding of its own to "
            "put in the tokens' place, and the EOS would end the document there; add one to tokenizer.json, or mask"
        )
    for name in filter(loss.needs_risk, records):
        if unscored := records[name].unscored:
            raise DataError(
                f"{mixture.path}: {unscored:,} tokens of component {name!r} carry no risk, and the loss policy "
                f"asks for it; set `risk:` in the mixture and tag its corpus, or restrict loss.components"
            )


def _check_division(parallel: ParallelSpec, architecture: Architecture, sequence_length: int) -> None:
    """The vocabulary need not divide: its last rows are padding that carries no probability."""
    for name in ("num_attention_heads", "num_query_groups", "ffn_hidden_size"):
        size = getattr(architecture, name)
        if size % parallel.tensor:
            raise InputError(f"parallel.tensor: {parallel.tensor} does not divide {name} ({size})")
    layers = architecture.num_layers
    if layers % parallel.pipeline:
        raise InputError(f"parallel.pipeline: {parallel.pipeline} does not divide num_layers ({layers})")
    chunks = 2 if parallel.context > 1 else 1  # every context rank holds one early and one late chunk
    needed = parallel.context * math.lcm(chunks, parallel.tensor if parallel.sequence else 1)
    if sequence_length % needed:
        raise InputError(
            f"parallel.sequence, parallel.context: they divide a sequence into {needed} parts, and the mixture's "
            f"sequences are {sequence_length} tokens long"
        )
