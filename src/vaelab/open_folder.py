"""A folder held open while files in it are made, renamed and removed, so that no link leads elsewhere."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vaelab import platforms


class OpenFolder:
    """What can be done in a folder; a name is always that of an entry of this folder itself.

    Args:
        path: the folder.
        descriptor: of the folder; None on systems that have none, so that its path is used each time.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path, self.descriptor = path, descriptor

    def _at(self, name: str) -> str:
        return name if self.descriptor is not None else str(self.path / name)

    def open(self, name: str, flags: int) -> int:
        """A descriptor of a file, which is never a link's target."""
        if not platforms.NO_FOLLOW and os.path.islink(self.path / name):
            raise OSError(f"{self.path / name} is a link")
        return os.open(self._at(name), flags | platforms.NO_FOLLOW | platforms.BINARY, 0o666, dir_fd=self.descriptor)

    def rename(self, old: str, new: str) -> None:
        """Renames a file, in place of an older file with the new name. If that is a link, its target stays."""
        os.replace(self._at(old), self._at(new), src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)

    def add_name(self, old: str, new: str) -> None:
        """Gives a file a second name; of a link, not of its target."""
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
        """Whether there is an entry of that name."""
        try:
            os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def names(self) -> list[str]:
        """The names of all entries."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)

    def sync(self) -> None:
        """Puts the names of the entries on the disk, where the system can."""
        if self.descriptor is not None:
            with suppress(OSError):
                os.fsync(self.descriptor)


@contextmanager
def open_folder(folder: Path, within: Path | None = None) -> Iterator[OpenFolder]:
    """Opens a folder, which is made if it is missing.

    Args:
        folder: the folder.
        within: a folder above it: no folder below it may be a link. The folder itself unless given.

    Raises:
        OSError: one is a link, or the folder cannot be opened or made.
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
