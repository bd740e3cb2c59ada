"""Reads files within bounds, so that no file takes much more memory than its size suggests."""

import io
from pathlib import Path
from typing import BinaryIO

from vaelab.escapes import for_terminal

CHUNK = 1 << 20
SMALL, GROWTH = 1 << 26, 200  # any file may grow to SMALL bytes, or to GROWTH times its size
FLOAT = 4  # bytes per number in memory
BLOCK = 4096  # bytes that even the smallest file takes on disk


class UnreadableFile(ValueError):
    """Raised for a file that cannot be used. The message is one sentence with the file, the cause and the cure."""

    def __init__(self, sentence: str) -> None:
        super().__init__(for_terminal(sentence))


def check_growth(path: Path, declared: int, what: str, size: int | None = None) -> None:
    """Raises `UnreadableFile` if a compressed file would grow so much that it could fill the memory.

    Args:
        path: the file, or a folder of files.
        declared: the size that it grows to, in bytes.
        what: the contents that it declares, in words.
        size: its size on disk, in bytes; None looks the file up.
    """
    size = path.stat().st_size if size is None else size
    if declared > max(SMALL, GROWTH * size):
        raise UnreadableFile(
            f"{path} declares {what}, {declared} bytes, which is more than {GROWTH} times its own size of {size} and "
            "could fill the memory; fetch it again, or write it without compression"
        )


def read_up_to(file: BinaryIO, limit: int) -> bytearray:
    """Reads up to `limit` bytes, a chunk at a time. A header that declares too much therefore costs no memory."""
    content = bytearray()
    while len(content) < limit and (chunk := file.read(min(CHUNK, limit - len(content)))):
        content += chunk
    return content


class Bounded(io.BufferedReader):
    """A file whose `read` never allocates more than the file holds, even if a library asks for more."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads up to `size` bytes."""
        return super().read(-1 if size is None or size < 0 else min(size, max(0, self._size - self.tell())))
