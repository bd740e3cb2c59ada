"""Memory of the process, which the system would otherwise take back and clear for every step."""

import ctypes
from contextlib import suppress

from vaelab import platforms

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt(3)


def keep_memory() -> None:
    """Lets glibc keep what is freed for what is allocated next.

    It gives blocks above 32 MiB back at once, and the system clears the pages of the next one: of a step with the full
    covariances of images that is most of the time.
    """
    if platforms.IS_LINUX:
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP_MAX, 0)
            libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
