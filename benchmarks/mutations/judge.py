"""What the command line answers to one file: exit code, message and seconds, and what is wrong with them."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS_LIMIT = 5.0
_TIMEOUT = 60  # seconds
_LINE = re.compile(r"\.(yaml|csv):\d+: ")
_SUMMARY = re.compile(r"and [\d,]+ more$|\d+ problem\(s\) in the configuration; nothing was run$")
WITHOUT_LINE = {
    "cannot be read as UTF-8 text": "bytes that are no text have no lines",
    "larger than": "it is not read as far as a line",
    "no such file": "there is nothing to read",
}
"""Messages that name the file alone, and why."""


OFFLINE = {
    "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_DEFAULT_REGION": "x",
}  # fmt: skip
"""Environment in which what a mutated file names is looked for on this machine only."""


@dataclass(frozen=True)
class Answer:
    """Of `verb` to a file, in seconds of the processor, so that neighbours on the machine do not count; `fault` is ''
    where the answer is as it should be.
    """

    verb: str
    code: int
    message: str
    seconds: float
    fault: str


class _StillRunning(BaseException):
    """Nothing catches this on the way."""


def answer(verb: str, file: Path) -> Answer:
    """`hormesis VERB FILE` in this process, by the command's own entry point."""
    import hormesis

    before, began = sys.argv, processor()
    sys.argv = ["hormesis", verb, str(file)]
    code, broken = 0, ""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err, _streams(out, err), _alarm():
        try:
            hormesis.main()
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            code, broken = 1, traceback.format_exc()
        finally:
            sys.argv = before
        sys.stderr.flush()
        err.seek(0)
        message = err.read()
    seconds = processor() - began
    return Answer(verb, code, message, seconds, broken or fault_of(file, code, message, seconds))


def processor() -> float:
    """Seconds of this process, and of those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def fault_of(file: Path, code: int, message: str, seconds: float) -> str:
    """What is wrong with an answer, or ''."""
    if "Traceback (most recent call last)" in message:
        return message
    if seconds > SECONDS_LIMIT:
        return f"took {seconds:.1f} s"
    if code not in (0, 1, 2):
        return f"exit code {code}: {message[:500]}"
    return "" if code == 0 or not (odd := unplaced(file, message)) else f"no file:line: {odd[:500]}"


def reason_alone(file: Path, line: str) -> str:
    """Why a line of a refusal names the file and no line of it, or ''."""
    text = line.removeprefix("error: ")
    return next((why for why in WITHOUT_LINE if text.startswith(f"{file}: ") and why in text), "")


def unplaced(file: Path, message: str) -> str:
    """The first line of a refusal that names no line of a YAML file, and should; a refusal that says nothing is one."""
    lines = [line.removeprefix("error: ") for line in message.splitlines() if line.strip()]
    if not lines:
        return "(no message)"
    for line in lines:
        if not (_LINE.search(line) or _SUMMARY.match(line) or reason_alone(file, line)):
            return line
    return ""


@contextmanager
def _streams(out: object, err: object) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _StillRunning(f"after {_TIMEOUT} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(_TIMEOUT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
