"""The scorer `detoxify`: a transformer fine-tuned on Jigsaw's comments, one column per kind of toxicity.

The package's own loader unpickles freely and needs the hub even for a local checkpoint; this one reads the same files
with `weights_only=True` and builds the model from a local folder. A text longer than the model reads is scored in
windows of 512 tokens, and the highest score counts: no part of a text goes unread.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from curation.scorers.base import Scorer, ScorerSpec
from infra.errors import InputError, UnavailableError
from infra.fingerprint import digest, digest_file
from infra.spec import Location

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RELEASES = "https://github.com/unitaryai/detoxify/releases/download/"
RELEASED = {  # file names carry the first eight digits of the SHA-256
    "original": "v0.1-alpha/toxic_original-c1212f89.ckpt",
    "unbiased": "v0.3-alpha/toxic_debiased-c7548aa0.ckpt",
    "multilingual": "v0.4-alpha/multilingual_debiased-0b549669.ckpt",
    "original-small": "v0.1.2/original-albert-0e1d6498.ckpt",
    "unbiased-small": "v0.1.2/unbiased-albert-c8519128.ckpt",
}
_RENAMED = {"toxic": "toxicity", "identity_hate": "identity_attack", "severe_toxic": "severe_toxicity"}
_WINDOW = 512  # tokens that the released models read at once
_SECONDS = 10.0  # to wait for a server that may not be there


class DetoxifySpec(ScorerSpec):
    """A released model by name, or a checkpoint file with its configuration folder."""

    name: Literal["detoxify"] = "detoxify"
    model: Literal["original", "unbiased", "multilingual", "original-small", "unbiased-small"] = "unbiased"
    """Which released model; downloaded once. Not used where a checkpoint is given."""
    checkpoint: Location | None = None
    """A checkpoint file in detoxify's format; works offline together with `config`."""
    config: Location | None = None
    """Folder with config.json and the tokenizer's files of the checkpoint's base model."""
    batch_tokens: int = Field(2048, ge=64)
    """Tokens, padding included, that are scored at once; about 2,000 is fastest on a CPU."""

    @model_validator(mode="after")
    def _together(self) -> DetoxifySpec:
        if (self.checkpoint is None) != (self.config is None):
            raise ValueError("checkpoint and config go together: the file, and the folder of its base model")
        return self


class Detoxify(Scorer):
    """Sigmoid of one logit per class; `attributes` are the checkpoint's classes under detoxify's public names."""

    options = DetoxifySpec

    def __init__(self, spec: DetoxifySpec, loaded: dict[str, Any], folder: Path) -> None:
        import torch
        import transformers

        if not torch.cuda.is_available():
            torch.set_num_threads(1)  # one process per core does more, and sums come out the same on every machine
        arch, self._spec = loaded["config"]["arch"]["args"], spec
        classes = loaded["config"]["dataset"]["args"]["classes"]
        model_class = getattr(transformers, arch["model_name"])
        config = model_class.config_class.from_pretrained(folder, num_labels=arch["num_classes"], local_files_only=True)
        self._model = model_class(config)
        missing = self._model.load_state_dict(loaded["state_dict"], strict=False).missing_keys
        if wrong := [key for key in missing if "position_ids" not in key]:
            which = spec.checkpoint or spec.model
            raise InputError(f"{which}: the checkpoint lacks {wrong[0]}; is {folder} its base model?")
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model.eval().to(self._device)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._window = min(_WINDOW, getattr(config, "max_position_embeddings", _WINDOW) - 2)
        self.attributes = tuple(_RENAMED.get(name, name) for name in classes)
        name = Path(spec.checkpoint).stem if spec.checkpoint else spec.model
        self.identity = f"detoxify-{name}@{self.weights(spec)[:12]}"

    @classmethod
    def load(cls, spec: DetoxifySpec) -> Detoxify:
        """Load from files, or from the hub's and GitHub's caches, or from there if they can be reached soon."""
        if spec.checkpoint and spec.config:
            if not Path(spec.config, "config.json").is_file():
                raise InputError(f"{spec.config}: a folder with config.json and the tokenizer's files is needed")
            return cls(spec, _read(Path(spec.checkpoint)), Path(spec.config))
        loaded = _read(_released(spec.model))
        return cls(spec, loaded, _base_model(str(loaded["config"]["arch"]["args"]["model_type"]), spec.model))

    @staticmethod
    def weights(spec: DetoxifySpec) -> str:
        """SHA-256 over checkpoint and configuration; of a released model, its name, which holds its checksum."""
        if not (spec.checkpoint and spec.config):
            return hashlib.sha256(RELEASED[spec.model].encode()).hexdigest()
        files = [Path(spec.checkpoint), *sorted(file for file in Path(spec.config).glob("*") if file.is_file())]
        if not files[0].is_file():
            raise InputError(f"{spec.checkpoint}: no such file")
        return digest([digest_file(files[0]), *([file.name, digest_file(file)] for file in files[1:])])

    def _raw_scores(self, texts: list[str]) -> NDArray[np.float32]:
        import numpy as np
        import torch

        windows, owners = self._windows(texts)
        scores = np.zeros((len(texts), len(self.attributes)), dtype=np.float32)
        for rows in _buckets([len(window) for window in windows], self._spec.batch_tokens):
            batch = self._tokenizer.pad({"input_ids": [windows[row] for row in rows]}, return_tensors="pt")
            with torch.inference_mode():
                logits = self._model(**batch.to(self._device)).logits.float()
            found = torch.sigmoid(logits).cpu().numpy()
            np.maximum.at(scores, [owners[row] for row in rows], found)  # a NaN stays a NaN
        return scores

    def _windows(self, texts: list[str]) -> tuple[list[list[int]], list[int]]:
        """Token ids of all windows, and the text that each belongs to."""
        encoded = self._tokenizer(
            texts, truncation=True, max_length=self._window, return_overflowing_tokens=True, stride=32
        )  # fmt: skip
        return list(encoded["input_ids"]), list(encoded["overflow_to_sample_mapping"])


def _buckets(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Rows of similar length, so that padding stays small: at most `budget` tokens a batch, padding included."""
    rows: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda each: (lengths[each], each)):
        if rows and lengths[row] * (len(rows) + 1) > budget:
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _read(file: Path) -> dict[str, Any]:
    """A checkpoint, without running what a foreign pickle may hold."""
    import pickle

    import torch

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
    import urllib.request

    import torch

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


def _base_model(name: str, model: str) -> Path:
    """Configuration and tokenizer of the base model, from the hub's cache or from the hub."""
    from huggingface_hub import HfApi, snapshot_download

    patterns = ["*.json", "*.txt", "*.model"]
    with contextlib.suppress(Exception):
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    try:
        HfApi().model_info(name, timeout=_SECONDS)  # one quick question; the download itself would retry for long
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _unavailable(model, f"the base model {name} cannot be had from the Hugging Face hub ({reason})",
                           f"fill the hub's cache with {name}") from None  # fmt: skip


def _unavailable(model: str, why: str, advice: str) -> UnavailableError:
    return UnavailableError(
        f"scorer detoxify ({model}): {why}; {advice}, or give checkpoint: FILE and config: FOLDER, "
        "or use scorer: {name: profanity}, which needs no download"
    )
