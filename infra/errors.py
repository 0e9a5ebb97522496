"""The exception tree. Everything a user can meet is a HormesisError; nothing else should reach the terminal.

HormesisError
├── UserError (ValueError)      exit 2: the user's input is wrong, and what to do is in the message
│   ├── ConfigError             every problem of a YAML file at once, with file:line
│   ├── InputError              a file or folder is missing, unreadable, of the wrong kind or checksum
│   ├── AmountError             more tokens asked than there are, an impossible fraction
│   └── UnavailableError        weights, a package or a hub that cannot be had here
└── JobError                    exit 1: the job failed while it ran
    ├── DataError               corrupt data, "file:line: reason"
    ├── ScoringError            a scorer failed on a text (which never becomes a low score)
    ├── ArtifactError           an artifact is incomplete, damaged or of another kind
    ├── BusyError               another process is writing the same artifact
    ├── RanksFailed             a curation job finished, but some of its ranks did not
    ├── StepsFailed             a study finished, but some of its steps did not
    └── Preempted               exit 143: the job was asked to leave, saved, and goes on when it is started again
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar


class HormesisError(Exception):
    """Base of everything hormesis raises on purpose; `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class UserError(HormesisError, ValueError):
    """The user's input is wrong."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration: where (`file:line`), which key, what stands there, what is allowed."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"


class ConfigError(UserError):
    """All problems of one configuration file."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class InputError(UserError):
    """A file, folder, checksum or tokenizer that cannot be used as it is."""


class AmountError(UserError):
    """Amounts that cannot be met."""


class UnavailableError(UserError):
    """Something that would have to be downloaded or installed and cannot be had."""


_OF_THE_PATH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR,
                 errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP)  # fmt: skip
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SAYS_FULL = re.compile(r"os error 28|code: 28\b|no space left on device|disk quota exceeded", re.IGNORECASE)


def of_the_system(error: BaseException) -> HormesisError | None:
    """What the operating system refused, as one of ours: a full disk, a folder that is not to be written to, a file
    that went away. None where `error` is nothing of that kind.
    """
    if (isinstance(error, OSError) and error.errno in _FULL) or _SAYS_FULL.search(str(error)):
        where = getattr(error, "filename", None)
        at = f"{where}: " if where else ""
        return JobError(f"{at}no space left on the disk; what is finished is kept: make room and run the command again")
    if not isinstance(error, OSError):
        return None
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error) or type(error).__name__
    return InputError(message) if error.errno in _OF_THE_PATH else JobError(message)


@contextmanager
def gathered(problems: list[str]) -> Iterator[None]:
    """Keep what the user did wrong inside the block as a message, so that several problems can be told at once."""
    try:
        yield
    except UserError as error:
        problems.append(str(error))


class JobError(HormesisError):
    """The job failed while it ran."""


class DataError(JobError):
    """Corrupt data; the message begins with `file:line:` where a line is known."""


class ScoringError(JobError):
    """A scorer failed; the text stays unscored and the job stops."""


class ArtifactError(JobError):
    """An artifact that is incomplete, damaged or of another kind."""


class BusyError(JobError):
    """Another process holds the work folder."""


class Preempted(JobError):
    """The job saved and left because it got a SIGTERM; its exit code is the one that a SIGTERM leaves."""

    exit_code: ClassVar[int] = 143


@dataclass(frozen=True)
class RankFailure:
    """Why one rank of a job failed: what it read (a shard), where it was (`file:line`, or ''), and the reason."""

    rank: int
    reads: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}" if self.where else f"{self.reads}: {self.reason}"


class RanksFailed(JobError):
    """Some ranks of a job failed; `failures` holds them by rank, and the message the first few."""

    def __init__(self, job: str, ranks: int, failures: list[RankFailure]) -> None:
        self.job, self.ranks = job, ranks
        self.failures = tuple(sorted(failures, key=lambda failure: failure.rank))
        first = "; ".join(str(failure) for failure in self.failures[:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__(f"{first}{more} ({job}: {len(failures)} of {ranks} ranks failed)")


class StepsFailed(JobError):
    """Some steps of a study failed; `failures` holds (step, error) in the order in which they failed."""

    def __init__(self, failures: list[tuple[str, str]]) -> None:
        self.failures = tuple(failures)
        super().__init__(f"{len(failures)} step(s) failed: " + "; ".join(f"{name}: {why}" for name, why in failures))
