"""Downloads published image sets, once: MNIST and Fashion-MNIST."""

import gzip
import hashlib
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pooch
import requests
from filelock import FileLock

log = logging.getLogger(__name__)

CHUNK = 1 << 20
LARGEST = 1 << 26  # the most bytes that a file may unpack to


class Hashes(NamedTuple):
    """The hashes of a gzipped file. One of them is enough, because others may pack the same content again.

    Attributes:
        packed: the hash of the published file, such as `md5:8d4f…`.
        content: the SHA-256 of the unpacked file.
    """

    packed: str
    content: str


@dataclass(frozen=True)
class Published:
    """An image set that its authors publish as four gzipped IDX files.

    Attributes:
        name: its name, such as `MNIST`.
        folder: the name of its folder in the user's cache.
        mirrors: the addresses of folders that hold the files.
        files: name -> its hashes.
        identity: what `vaelab.data.idx_folder.identify` returns for it: the number of training images, the number of
            test images, and the CRC-32 of the test images' pixels.
    """

    name: str
    folder: str
    mirrors: tuple[str, ...]
    files: Mapping[str, Hashes]
    identity: tuple[int, int, int]


MNIST = Published(
    "MNIST",
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        "train-images-idx3-ubyte.gz": Hashes(
            "sha256:440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        "train-labels-idx1-ubyte.gz": Hashes(
            "sha256:3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        "t10k-images-idx3-ubyte.gz": Hashes(
            "sha256:8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        "t10k-labels-idx1-ubyte.gz": Hashes(
            "sha256:f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    },
    (60_000, 10_000, 0xE4CA5F57),
)
# Xiao et al. 2017, arxiv.org/abs/1708.07747
FASHION_MNIST = Published(
    "Fashion-MNIST",
    "fashion_mnist",
    ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
    {
        "train-images-idx3-ubyte.gz": Hashes(
            "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        "train-labels-idx1-ubyte.gz": Hashes(
            "md5:25c81989df183df01b3e8a0aad5dffbe",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        "t10k-images-idx3-ubyte.gz": Hashes(
            "md5:bef4ecab320f06d8554ea6380940ec79",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        "t10k-labels-idx1-ubyte.gz": Hashes(
            "md5:bb300cfdad3c16e7a12a480ee83cd310",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    },
    (60_000, 10_000, 0x12728439),
)


PUBLISHED = (MNIST, FASHION_MNIST)


def cache(published: Published) -> Path:
    """The folder that a published image set is downloaded to, in the user's cache."""
    return Path(pooch.os_cache("vaelab")) / published.folder


def download(published: Published, folder: Path, mirrors: Sequence[str]) -> None:
    """Makes sure that `folder` holds the published files, each with the right hash.

    A file gets its name only when it is complete and its hash is right. A second process waits for the first.

    Raises:
        OSError: no mirror has a file with the right hash.
    """
    if all(_is_right(folder / name, hashes) for name, hashes in published.files.items()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for name, hashes in published.files.items():
            if not _is_right(folder / name, hashes):
                _fetch(published, name, folder, mirrors)


def _fetch(published: Published, name: str, folder: Path, mirrors: Sequence[str]) -> None:
    # Without this header, a server may send the .gz as a compressed transfer, and it would arrive unpacked.
    fetch = pooch.HTTPDownloader(progressbar=True, timeout=30, headers={"Accept-Encoding": "identity"})
    part, failures = folder / f".{name}.part", []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        log.info("downloading %s", url)
        try:
            fetch(url, str(part), None)
            if _is_right(part, published.files[name]):
                part.replace(folder / name)
                return
            failures.append(f"{url}: its content is not that of {published.name}")
        except (requests.RequestException, ValueError) as error:
            failures.append(f"{url}: {error}")
        finally:
            part.unlink(missing_ok=True)
    raise OSError(
        f"{published.name} could not be downloaded, because no mirror has {name} ({'; '.join(failures)}); check the "
        "network, or set data.root to a folder with the files"
    )


def _is_right(path: Path, hashes: Hashes) -> bool:
    """True if a file has one of its hashes."""
    algorithm, _, packed = hashes.packed.partition(":")
    if not path.is_file():
        return False
    return pooch.file_hash(str(path), algorithm) == packed or _hash_of_content(path) == hashes.content


def _hash_of_content(path: Path) -> str | None:
    """The SHA-256 of a gzipped file's content; None if it cannot be unpacked, or is too large."""
    digest, size = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size > LARGEST:
                    return None
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()
