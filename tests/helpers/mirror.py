"""Mirrors on the loopback that serve the files of a data set, and what a download must leave."""

import gzip
import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from threading import Thread

from vaelab.data.download import Hashes, Published

LOCK = ".lock"


class Mirror:
    """Files served over HTTP, and a record of the requests.

    Args:
        files: name -> content.
        cut: whether the connection breaks half-way through a file.
        delay: seconds before an answer, so that a second process finds the first one at work.
        folder: where to look, half-way through a file, for what the download has put there.
    """

    def __init__(
        self, files: dict[str, bytes], cut: bool = False, delay: float = 0, folder: Path | None = None
    ) -> None:
        self.files, self.cut, self.delay, self.folder = files, cut, delay, folder
        self.requested: list[str] = []
        self.seen_half_way: set[str] = set()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rpartition("/")[-1]
        self.requested.append(name)
        time.sleep(self.delay)
        if name not in self.files:
            handler.send_error(404)
            return
        content = self.files[name]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        if self.folder is not None:
            self.seen_half_way |= left_in(self.folder)
        if not self.cut:
            handler.wfile.write(content[len(content) // 2 :])

    @contextmanager
    def running(self) -> Iterator[None]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, *_) -> None:
                """Says nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}/mnist/"
            thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()


def started_mirrors() -> Iterator:
    """Starts a mirror that runs until the test is over."""
    with ExitStack() as stack:

        def started(*args, **options) -> Mirror:
            mirror = Mirror(*args, **options)
            stack.enter_context(mirror.running())
            return mirror

        yield started


def hashes_of(files: Mapping[str, bytes]) -> dict[str, Hashes]:
    """The hashes of gzipped files; half of them are published as MD5, as others do."""
    return {
        name: Hashes(
            f"{kind}:{hashlib.new(kind, content).hexdigest()}", hashlib.sha256(gzip.decompress(content)).hexdigest()
        )
        for kind, (name, content) in zip(cycle(("md5", "sha256")), files.items(), strict=False)
    }


def published(
    files: Mapping[str, bytes], name: str = "MNIST", identity: tuple[int, int, int] = (30, 11, 0)
) -> Published:
    return Published(name, name.lower(), ("http://192.0.2.1/",), hashes_of(files), identity)


def left_in(folder: Path) -> set[str]:
    """The names that the download has put into `folder`, other than its lock."""
    return {path.name for path in folder.iterdir()} - {LOCK}
