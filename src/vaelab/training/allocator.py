"""Settings of the C library's memory allocator."""

import ctypes
from contextlib import suppress

from vaelab import platforms

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # mallopt(3)


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next allocation; does nothing with another C library.

    By default glibc returns blocks above 32 MiB to the system at once, and the system clears the pages of the next
    block. With the full covariances of images, this takes most of the time of a step.
    """
    if platforms.IS_LINUX:
        with suppress(OSError, AttributeError):  # another C library
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP_MAX, 0)
            libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
