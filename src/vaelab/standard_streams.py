"""Makes standard input, output and error safe to use, even if they are closed or broken."""

import io
import os
import sys
from typing import Any


class _Forgiving(io.FileIO):
    """A file that accepts all writes, and drops what can no longer be written."""

    def write(self, data: Any) -> int:
        """Returns the number of bytes in `data`, even if they could not be written."""
        try:
            written = super().write(data)
        except OSError:  # the reader is gone, the terminal was closed, or the disk is full
            written = None
        return memoryview(data).nbytes if written is None else written


def complete_streams() -> None:
    """Opens the streams that are closed, and replaces characters that an encoding lacks.

    Otherwise the next file that the process opens would take the number of a closed stream, and printed text would end
    up in that file.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if descriptor and getattr(sys, name) is None:
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False)), "utf-8"))
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def forgive_streams() -> None:
    """Keeps the process alive if standard output or error breaks. Training then continues without them."""
    complete_streams()
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        before = getattr(sys, name)
        if isinstance(before, io.TextIOWrapper):
            forgiving: Any = _Forgiving(descriptor, "w", closefd=False)
            settings = {key: getattr(before, key) for key in ("encoding", "errors", "line_buffering", "write_through")}
            buffer = forgiving if before.write_through else io.BufferedWriter(forgiving)  # `python -u` has no buffer
            setattr(sys, name, io.TextIOWrapper(buffer, **settings))
