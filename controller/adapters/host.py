"""What the machine says of itself: free space of a folder's disk, and whether the clock is synchronised."""

from __future__ import annotations

import ctypes
import os
import sys

from controller.domain.watching import Space

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5
_FIELDS_BEFORE_STATUS = 4
"""modes (padded to a long), offset, freq, maxerror, esterror: `status` is the int after these."""


class Host:
    """Implements `ports.Host` for the folder that Loa writes to."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def space(self) -> Space | None:
        """None: the folder cannot be asked, for example because it is gone."""
        try:
            found = os.statvfs(self._folder)
        except OSError:
            return None
        inodes = found.f_favail / found.f_files if found.f_files else None
        return Space(found.f_bavail * found.f_frsize / 1e6, inodes)

    def synced(self) -> bool | None:
        """Whether the kernel counts its clock as synchronised, which chrony, ntpd and systemd-timesyncd all tell it.
        None where it does not say: another system than Linux, or a sandbox that forbids the question."""
        if not sys.platform.startswith("linux"):
            return None
        timex = (ctypes.c_long * 64)()  # struct timex, 208 bytes on 64 bits; modes 0 only reads
        try:
            state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
        except AttributeError:
            return None
        if state < 0:
            return None
        status = timex[1 + _FIELDS_BEFORE_STATUS] & 0xFFFFFFFF
        return not (state == _TIME_ERROR or status & _STA_UNSYNC)
