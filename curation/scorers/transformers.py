"""The scorer `transformers`: any sequence classifier, by its name on the Hugging Face hub or as a local folder.

The open successors of Perspective are of this kind (`s-nlp/roberta_toxicity_classifier`,
`ibm-granite/granite-guardian-hap-38m`, toxigen-roberta). Weights are read from safetensors only.
"""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from curation.classify.folders import digest_folder, model_folder, pinned_revision
from curation.classify.padding import settle_padding
from curation.scorers.base import Card
from curation.scorers.base_transformer import ModelFiles, Outputs, TransformerScorer
from curation.scorers.options import TransformersSpec
from infra.artifacts.fingerprint import digest
from infra.config.faults import nearest
from infra.errors import InputError

_UNNAMED = re.compile(r"LABEL_\d+")


class Transformers(TransformerScorer):
    """A classifier of transformers' Auto classes; code of the hub is never run."""

    options = TransformersSpec

    @classmethod
    def model_files(cls, spec: TransformersSpec) -> ModelFiles:
        """Read a folder, the hub's cache, or from the hub. Raises InputError, UnavailableError."""
        from transformers import AutoConfig, AutoTokenizer

        folder = _folder(spec)
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: not a model's folder: {str(error).splitlines()[0]}") from None
        settle_padding(config, tokenizer, str(folder))
        return ModelFiles(
            spec.model.rsplit("/", 1)[-1], tokenizer, _outputs(spec, config), lambda: _model(folder, config)
        )

    @classmethod
    def resolved(cls, spec: TransformersSpec) -> TransformersSpec:
        """The same at a commit, with a definite device, precision and batch."""
        return super().resolved(_pinned(spec))

    @classmethod
    def deferred(cls, spec: TransformersSpec) -> TransformersSpec:
        """The same at a commit, with `worker` for what only the machine that scores can tell."""
        return super().deferred(_pinned(spec))

    @staticmethod
    def files(spec: TransformersSpec) -> str:
        """SHA-256 over the folder's files and the options that say what the classes mean."""
        labels = {attribute: list(_group(labels)) for attribute, labels in spec.labels.items()}
        return digest([digest_folder(_folder(spec)), labels, spec.activation])

    @staticmethod
    def card(spec: TransformersSpec) -> Card:
        """What the YAML says."""
        return Card(spec.languages, f"{spec.model}: {spec.blind_spots}")


def _pinned(spec: TransformersSpec) -> TransformersSpec:
    """The same object where nothing changes."""
    if spec.folder is not None or (revision := pinned_revision(spec.model, spec.revision)) == spec.revision:
        return spec
    return spec.model_copy(update={"revision": revision})


def _folder(spec: TransformersSpec) -> Path:
    if spec.folder is None:
        return model_folder(spec.model, spec.revision)
    if not Path(spec.folder, "config.json").is_file():
        raise InputError(f"{spec.folder}: a folder with config.json, model.safetensors and the tokenizer is needed")
    return Path(spec.folder)


def _model(folder: Path, config: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    try:
        model, loading_info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{folder}: cannot be loaded: {str(error).splitlines()[0]}") from None
    if missing := sorted(loading_info["missing_keys"]):  # transformers would make them up at random
        raise InputError(f"{folder}: the weights lack {missing[0]}: it is no sequence classifier")
    return model


def _outputs(spec: TransformersSpec, config: Any) -> Outputs:
    """Classes by attribute. Raises InputError for a class that the model has not, or whose meaning nobody has said."""
    names: list[str] = [config.id2label[index] for index in sorted(config.id2label)]
    groups = {attribute: _group(labels) for attribute, labels in spec.labels.items()}
    if not groups and any(map(_UNNAMED.fullmatch, names)):
        raise InputError(
            f"{spec.model}: the model calls its classes {', '.join(names)}, which says nothing; "
            f"write what they mean, as labels: {{toxicity: {names[-1]}}}"
        )
    for label in chain.from_iterable(groups.values()):
        if label not in names:
            raise InputError(f'{spec.model}: no class "{label}"; it has {", ".join(names)}{nearest(label, names)}')
    classes = {attribute: tuple(map(names.index, group)) for attribute, group in groups.items()}
    independent = len(names) == 1 or config.problem_type == "multi_label_classification"
    activation = spec.activation if spec.activation != "auto" else "sigmoid" if independent else "softmax"
    return Outputs(activation, classes or {name.lower(): (index,) for index, name in enumerate(names)})


def _group(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    return (labels,) if isinstance(labels, str) else labels
