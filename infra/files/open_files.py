"""How many files a process may have open: the soft limit (`ulimit -n`, often 1,024) is raised where the hard one lets
it.

Children inherit the raised limit; a worker on another machine has its own, and asks there.
"""

from __future__ import annotations

import os
import resource

from infra.errors import InputError

_SPARE = 64  # for logs, pipes and libraries, beside the files that are open now


def allow(count: int) -> int:
    """Raise the soft limit as far as `count` more open files need; returns how many of them may be open: `count`, or
    less where the hard limit is in the way.
    """
    taken = _open_now() + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < taken + count:
        soft = _raised(taken + count, soft, hard)
    return count if soft == resource.RLIM_INFINITY else max(0, min(count, soft - taken))


def require(count: int, reason: str) -> None:
    """Allow `count` more open files. Raises InputError where the hard limit is in the way; `reason` says what opens
    them.
    """
    if (allowed := allow(count)) < count:
        raise InputError(
            f"{reason} opens {count:,} files at once, and this machine allows {allowed:,} more; raise the limit "
            f"(`ulimit -n {count + _open_now() + _SPARE}`, as root or in /etc/security/limits.conf) and run it again"
        )


def _raised(needed: int, soft: int, hard: int) -> int:
    """The soft limit after an attempt to raise it to `needed`; never lower than it was."""
    target = needed if hard == resource.RLIM_INFINITY else max(soft, min(needed, hard))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    except (ValueError, OSError):  # a kernel's own limit (macOS: kern.maxfilesperproc) below an infinite hard one
        return soft
    return target


def _open_now() -> int:
    """Descriptors of this process."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return 0
