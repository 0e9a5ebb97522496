"""The scorer `detoxify`: a transformer fine-tuned on Jigsaw's comments, one column per kind of toxicity.

The package's own loader unpickles freely and needs the hub even for a local checkpoint (detoxify pull request 126);
this one reads the same files with `weights_only=True` and builds the model from a local folder. The package cuts a
text at 512 tokens; here a longer one is scored in windows.
"""

from __future__ import annotations

import hashlib
import pickle
import urllib.request
from pathlib import Path
from typing import Any

import torch

from curation.classify.folders import digest_folder, digest_model_file, model_folder
from curation.scorers.base import Card
from curation.scorers.base_transformer import ModelFiles, Outputs, TransformerScorer
from curation.scorers.options import DetoxifySpec
from infra.artifacts.fingerprint import digest
from infra.errors import InputError, UnavailableError

_RELEASES = "https://github.com/unitaryai/detoxify/releases/download/"
RELEASED = {  # file names carry the first eight digits of the SHA-256
    "original": "v0.1-alpha/toxic_original-c1212f89.ckpt",
    "unbiased": "v0.3-alpha/toxic_debiased-c7548aa0.ckpt",
    "multilingual": "v0.4-alpha/multilingual_debiased-0b549669.ckpt",
    "original-small": "v0.1.2/original-albert-0e1d6498.ckpt",
    "unbiased-small": "v0.1.2/unbiased-albert-c8519128.ckpt",
}
_RENAMED = {"toxic": "toxicity", "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}
_SECONDS = 10.0  # to wait for a server that may not be there
_LANGUAGES = ("en", "fr", "es", "it", "pt", "tr", "ru")  # of multilingual's training comments
_BLIND_SPOTS = {
    "original": "detoxify original scores a text high for naming an identity or for swearing alone, whatever is meant",
    "unbiased": "detoxify unbiased still scores swearing as toxic whatever is meant, in jest or of oneself, and misses "
    "hate without rude words",
    "multilingual": "detoxify multilingual was trained on comments translated by machine; languages other than its "
    "seven are guesses",
}


class Detoxify(TransformerScorer):
    """Sigmoid of one logit per class; `attributes` are the checkpoint's classes under detoxify's public names."""

    options = DetoxifySpec

    @classmethod
    def model_files(cls, spec: DetoxifySpec) -> ModelFiles:
        """Read files, or GitHub's and the hub's caches, or fetch from there if they can be reached soon."""
        from transformers import AutoTokenizer

        loaded, folder = _files(spec)
        classes = loaded["config"]["dataset"]["args"]["classes"]
        outputs = Outputs("sigmoid", {_RENAMED.get(name, name): (index,) for index, name in enumerate(classes)})
        name = Path(spec.checkpoint).stem if spec.checkpoint else spec.model
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return ModelFiles(f"detoxify-{name}", tokenizer, outputs, lambda: _model(spec))

    @staticmethod
    def files(spec: DetoxifySpec) -> str:
        """SHA-256 over checkpoint and configuration; of a released model, its name, which holds its checksum."""
        if not (spec.checkpoint and spec.config):
            return hashlib.sha256(RELEASED[spec.model].encode()).hexdigest()
        return digest([digest_model_file(Path(spec.checkpoint)), digest_folder(Path(spec.config))])

    @staticmethod
    def card(spec: DetoxifySpec) -> Card:
        """By variant."""
        variant = spec.model.removesuffix("-small")
        return Card(_LANGUAGES if variant == "multilingual" else ("en",), _BLIND_SPOTS[variant])


def _files(spec: DetoxifySpec) -> tuple[dict[str, Any], Path]:
    """The checkpoint, and the folder of its base model's configuration and tokenizer."""
    if spec.checkpoint and spec.config:
        if not Path(spec.config, "config.json").is_file():
            raise InputError(f"{spec.config}: a folder with config.json and the tokenizer's files is needed")
        return _read(Path(spec.checkpoint)), Path(spec.config)
    loaded = _read(_released(spec.model))
    base = str(loaded["config"]["arch"]["args"]["model_type"])
    try:
        return loaded, model_folder(base, weights=False)
    except UnavailableError as error:
        raise _unavailable(spec.model, str(error), f"fill the hub's cache with {base}") from None


def _model(spec: DetoxifySpec) -> Any:
    """The model that a checkpoint holds. Raises InputError where the folder is another model's."""
    import transformers

    loaded, folder = _files(spec)
    arch = loaded["config"]["arch"]["args"]
    model_class = getattr(transformers, arch["model_name"])
    config = model_class.config_class.from_pretrained(folder, num_labels=arch["num_classes"], local_files_only=True)
    model = model_class(config)
    try:
        missing = model.load_state_dict(loaded["state_dict"], strict=False).missing_keys
    except RuntimeError as error:
        missing = [str(error).splitlines()[-1].strip()]
    if wrong := [key for key in missing if "position_ids" not in key]:
        checkpoint = spec.checkpoint or spec.model
        raise InputError(f"{checkpoint}: the checkpoint does not fit {folder} ({wrong[0]}); is that its base model?")
    return model


def _read(file: Path) -> dict[str, Any]:
    """A checkpoint, without running what a foreign pickle may hold."""
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{file}: not a detoxify checkpoint: {str(error).splitlines()[0]}") from None
    if not isinstance(loaded, dict) or not {"config", "state_dict"} <= loaded.keys():
        raise InputError(f"{file}: not a detoxify checkpoint: it needs the keys config and state_dict")
    return loaded


def _released(model: str) -> Path:
    """The released checkpoint, from torch.hub's cache or, in one attempt, from GitHub."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / RELEASED[model].split("/")[1]
    if file.is_file():
        return file
    url = _RELEASES + RELEASED[model]
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=_SECONDS):  # noqa: S310
            pass
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), hash_prefix=file.stem.rsplit("-", 1)[1], progress=False)
    except (OSError, RuntimeError) as error:
        raise _unavailable(model, f"{url} cannot be had ({error})", f"put that file at {file}") from None
    return file


def _unavailable(model: str, why: str, advice: str) -> UnavailableError:
    return UnavailableError(
        f"scorer detoxify ({model}): {why}; {advice}, or give checkpoint: FILE and config: FOLDER, "
        "or use scorer: {name: profanity}, which needs no download"
    )
