"""Where a run starts from, located and checked without loading it (and without importing torch)."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer

from infra.artifacts.artifact import is_artifact, read_artifact
from infra.errors import InputError
from mixtures.reading.built import BuiltMixture
from pretrain.files import CHECKPOINTS, TOKENIZER, checkpoint_folder_name, checkpoint_step, checkpoints_in
from pretrain.huggingface.config import read_architecture
from pretrain.huggingface.location import HUB, is_adapter, weights_folder
from pretrain.model.architecture import Architecture, check_fits
from pretrain.spec import PretrainSpec, StartSpec


def starting_architecture(spec: PretrainSpec, start: StartSpec, mixture: BuiltMixture) -> Architecture:
    """Architecture of the model that the run starts from.

    Raises InputError when it is none that can be built here, differs from a declared `model`, was trained on another
    tokenizer than the mixture's, or is asked for a checkpoint or precision that it does not have.
    """
    if start.model.startswith(HUB):
        name = start.model.removeprefix(HUB)
        raise InputError(f"start_from.model: fetch it with `hf download {name} --local-dir DIR` and name the folder")
    folder = Path(weights_folder(start.model))
    if is_adapter(folder):
        raise InputError(f"start_from.model: {folder} holds a PEFT adapter; merge it into its model first")
    architecture = read_architecture(folder)
    check_fits(architecture, mixture.facts.vocab_size, mixture.sequence_length)
    _check_declared(spec, architecture)
    _check_tokenizer(folder, mixture)
    if start.needs_checkpoint:
        checkpoint_folder(start.model, start.step)
        _check_precision(spec, start)
    return architecture


def checkpoint_folder(location: str, step: int | None) -> Path:
    """The checkpoint of a pretraining artifact after `step`, or its last. Raises InputError when it was not kept."""
    if not is_artifact(Path(location)):
        raise InputError(f"{location}: step, optimizer and learning_rate of start_from need a pretraining artifact")
    artifact = read_artifact(location, "pretrain")
    step = artifact.counts["steps"] if step is None else step
    folder = artifact.path / CHECKPOINTS
    if (checkpoint := folder / checkpoint_folder_name(step)).is_dir():
        return checkpoint
    steps = ", ".join(str(checkpoint_step(checkpoint)) for checkpoint in checkpoints_in(folder))
    there = f"it has those of {steps}" if steps else "it kept none (set `keep_every`)"
    raise InputError(f"{location}: no checkpoint of step {step}; {there}")


def _check_declared(spec: PretrainSpec, stored: Architecture) -> None:
    """What the user says of the model must hold; what he does not say comes from the folder."""
    if "model" not in spec.model_fields_set:
        return
    declared = asdict(Architecture.from_spec(spec.model, stored.vocab_size, stored.max_sequence_length))
    unsaid = {"vocab_size", "max_sequence_length"} - spec.model.model_dump(exclude_none=True).keys()
    for name, value in asdict(stored).items():
        if name not in unsaid and declared[name] != value:
            raise InputError(f"model: {name} is {declared[name]}, and that of the model in start_from is {value}")


def _check_tokenizer(folder: Path, mixture: BuiltMixture) -> None:
    """A model reads ids, so the same id must be the same token."""
    file = folder / TOKENIZER
    if not file.is_file():
        raise InputError(f"{folder}: no {TOKENIZER}, so nothing says that its ids mean what the mixture's mean")
    theirs = Tokenizer.from_file(str(file)).get_vocab()
    ours = Tokenizer.from_file(str(mixture.tokenizer / TOKENIZER)).get_vocab()
    for token, number in ours.items():
        if theirs.get(token) != number:
            raise InputError(
                f"{folder}: token {number} of the mixture is {token!r}, which the model's tokenizer has not or has "
                f"elsewhere; build the mixture with `tokenizer: {{file: {file}}}`"
            )


def _check_precision(spec: PretrainSpec, start: StartSpec) -> None:
    theirs = read_artifact(start.model, "pretrain").config["precision"]
    if start.optimizer == "continue" and theirs != spec.precision:
        raise InputError(f"start_from.optimizer: the artifact was trained in {theirs}; set `precision: {theirs}`")
