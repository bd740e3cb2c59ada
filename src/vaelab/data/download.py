"""Downloads MNIST, once."""

from collections.abc import Sequence
from pathlib import Path

import pooch
import requests
from filelock import FileLock

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def download_mnist(folder: Path, mirrors: Sequence[str] = MIRRORS) -> None:
    """Makes sure that `folder` holds MNIST's images and labels, each with the right SHA-256.

    A file gets its name only when it is complete and its hash is right. A second process waits for the first.

    Raises:
        OSError: no mirror has a file with the right hash.
    """
    if all(_is_whole(folder / name, sha256) for name, sha256 in SHA256.items()):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        for name, sha256 in SHA256.items():
            _fetch(name, sha256, folder, mirrors)


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == sha256


def _fetch(name: str, sha256: str, folder: Path, mirrors: Sequence[str]) -> None:
    # Without this header, a server may send the .gz as a compressed transfer, and it would arrive unpacked.
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=30, headers={"Accept-Encoding": "identity"})
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            pooch.retrieve(url, f"sha256:{sha256}", name, folder, downloader=downloader)
            return
        except (requests.RequestException, ValueError) as error:  # pooch reports a wrong hash as a ValueError
            failures.append(f"{url}: {error}")
    raise OSError(
        f"MNIST could not be downloaded, because no mirror has {name} ({'; '.join(failures)}); check the network, or "
        "set data.root to a folder with the files"
    )
