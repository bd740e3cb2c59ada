"""Keeps a folder open while files in it are made, renamed and removed, so that no link can lead elsewhere."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vaelab import platforms


class OpenFolder:
    """Operations on the entries of a folder. A name is always an entry of this folder itself.

    Args:
        path: the folder.
        descriptor: the folder's descriptor; None on systems without descriptors, which use the path each time.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path, self.descriptor = path, descriptor

    def _at(self, name: str) -> str:
        return name if self.descriptor is not None else str(self.path / name)

    def open(self, name: str, flags: int) -> int:
        """Opens a file and returns its descriptor. It never follows a link."""
        if not platforms.NO_FOLLOW and os.path.islink(self.path / name):
            raise OSError(f"{self.path / name} must be a file, but is a link; remove it")
        return os.open(self._at(name), flags | platforms.NO_FOLLOW | platforms.BINARY, 0o666, dir_fd=self.descriptor)

    def rename(self, old: str, new: str) -> None:
        """Renames a file. It replaces an older file with the new name; if that is a link, its target is unchanged."""
        os.replace(self._at(old), self._at(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def add_name(self, old: str, new: str) -> None:
        """Gives a file a second name. If it is a link, the link itself gets the name, not its target."""
        os.link(
            self._at(old),
            self._at(new),
            src_dir_fd=self.descriptor,
            dst_dir_fd=self.descriptor,
            follow_symlinks=False,
        )

    def remove(self, name: str) -> None:
        """Removes an entry: a file, a link, or a folder with all it holds."""
        if stat.S_ISDIR(os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False).st_mode):
            platforms.remove_folder(self._at(name), self.descriptor)
        else:
            os.unlink(self._at(name), dir_fd=self.descriptor)

    def has(self, name: str) -> bool:
        """True if there is an entry with this name."""
        try:
            os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        """The names of all entries."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)

    def sync(self) -> None:
        """Puts the names of the entries on the disk, if the system can."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.fsync(self.descriptor)


@contextmanager
def open_folder(folder: Path, within: Path | None = None) -> Iterator[OpenFolder]:
    """Opens a folder, and makes it if it is missing.

    Args:
        folder: the folder.
        within: a folder above it, by default the folder itself. No folder between the two may be a link.

    Raises:
        OSError: a folder is a link, or cannot be opened or made.
    """
    within = within or folder
    within.mkdir(parents=True, exist_ok=True)
    if platforms.HAS_FOLDER_DESCRIPTORS:
        descriptor = _descriptor_of(folder, within)
        try:
            yield OpenFolder(folder, descriptor)
        finally:
            os.close(descriptor)
    else:
        _check_path(folder, within)
        yield OpenFolder(folder, None)


def _descriptor_of(folder: Path, within: Path) -> int:
    flags = os.O_RDONLY | platforms.FOLDER
    descriptor = os.open(within, flags)
    try:
        for name in folder.relative_to(within).parts:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=descriptor)
            inner = os.open(name, flags | platforms.NO_FOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_path(folder: Path, within: Path) -> None:
    """Makes the folders down to the last one, and raises an OSError if one is a link."""
    place = within
    for name in folder.relative_to(within).parts:
        place = place / name
        with suppress(FileExistsError):
            place.mkdir()
        if place.is_symlink() or not place.is_dir():
            raise OSError(f"{place} must be a folder, but is a link or a file; remove it")
