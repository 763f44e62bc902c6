"""Run as a script: become a program that is killed when its parent ends.

`python -I -S lifeline.py PARENT_PID USER COMMAND...`. It asks the kernel for a death signal, makes sure that
the parent still lives (it may have died before the kernel was asked), gives up root rights if USER is not
empty, and becomes the wanted program. `preexec_fn` would do the same but is unsafe in a process with threads.
Only quick imports here: every child passes through.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9


def main() -> None:
    """Never returns."""
    parent, user, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    # Loaded as who we are: the other user may not be able to read this Python's libraries.
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if user:
        _change_user(user)
    if libc is not None:  # after the change of user, which would forget it
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - becoming the program is the purpose


def _change_user(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


if __name__ == "__main__":
    main()
