"""A process that draws, so that training does not wait: both ends of the pipe between them.

It runs in the time that nobody else wants, until someone waits for it.

Pickled (key, picture) pairs go in by its standard input, pickled (key, PNG bytes, error) triples come back by its
standard output; nothing is pickled to or from a file. It ends when its input does, so a parent that is killed leaves
none behind.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Hashable
from contextlib import suppress
from typing import IO, Any, NamedTuple

import numpy as np

from vaelab import platforms
from vaelab.figures.images import ImageReconstructions
from vaelab.figures.latents import KLBars, LatentScatter
from vaelab.figures.picture import Picture

START = """
import sys
sys.path[:] = sys.argv[1:]
from vaelab.platforms import take_idle_time_only
take_idle_time_only()  # before the imports: beside two threads of matrix products they would cost a tenth
from vaelab.figures.drawing_process import serve
serve()
"""


class Drawn(NamedTuple):
    """What came of a picture.

    Attributes:
        key: what `DrawingProcess.draw` was given.
        png: the contents of a PNG file; empty where drawing failed.
        error: why it failed; empty where it did not.
    """

    key: Any
    png: bytes
    error: str


class DrawingProcess:
    """Starts the process at once; `draw` and `collect` return at once, `finish` waits for at most its timeout."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],  # finds vaelab wherever this process found it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.asked: queue.SimpleQueue[tuple[Any, Picture] | None] = queue.SimpleQueue()
        self.drawn: queue.SimpleQueue[Drawn] = queue.SimpleQueue()
        self.waiting = 0  # pictures asked for and not collected
        self.timed_out = False
        self.writer = threading.Thread(target=self._write, daemon=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.writer.start()
        self.reader.start()

    def draw(self, key: Hashable, picture: Picture) -> None:
        """Asks for a picture."""
        self.waiting += 1
        self.asked.put((key, picture))

    @property
    def alive(self) -> bool:
        """Whether it can draw."""
        return self.process.poll() is None

    def collect(self) -> list[Drawn]:
        """What has been drawn since the last call."""
        done = [self.drawn.get() for _ in range(self.drawn.qsize())]
        self.waiting -= len(done)
        return done

    def hurry(self) -> None:
        """Lets it compete for the processor from now on, since someone will wait for it."""
        if self.alive:
            platforms.take_normal_time(self.process.pid)

    def finish(self, timeout: float) -> None:
        """Waits for what was asked, for at most `timeout` seconds, and ends the process.

        After the next `collect`, `waiting` is the number of pictures that were not drawn.
        """
        self.hurry()
        self.asked.put(None)
        self.reader.join(timeout)
        self.timed_out = self.reader.is_alive()
        if not self.timed_out:
            self.process.wait()
        self.kill()

    def kill(self) -> None:
        """Ends the process now."""
        self.hurry()  # to give back its memory takes time too, which a busy machine would not give it
        self.process.kill()
        self.process.wait()
        self.asked.put(None)
        for thread in (self.writer, self.reader):
            thread.join(1.0)

    def _write(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError), self.process.stdin as pipe:  # OSError: it died, which the reader sees
            while (asked := self.asked.get()) is not None:
                pickle.dump(asked, pipe, pickle.HIGHEST_PROTOCOL)
                pipe.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError), self.process.stdout as pipe:
            while True:
                self.drawn.put(Drawn(*pickle.load(pipe)))


spare: list[DrawingProcess] = []  # started ahead, so that their imports run beside those of Lightning


def serve() -> None:
    """The other end: draws what its standard input asks for, until that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not end up between the answers
    _warm_up()
    _answer(sys.stdin.buffer, answers)
    os._exit(0)  # someone waits for the end of this process, and tidying up takes longer than a picture


def _warm_up() -> None:
    """Imports and caches what drawing needs until someone waits; an error comes again with the first picture."""
    numbers = np.linspace(0, 1, 50, dtype=np.float32).reshape(2, 5, 5)
    with suppress(Exception):
        for picture in (
            KLBars(numbers[0, 0]),
            LatentScatter(numbers[0, :, :2], np.arange(2), 2, numbers[0, 0]),
            ImageReconstructions(numbers, numbers, numbers),
        ):
            if not platforms.has_input(sys.stdin):
                picture.render()


def _answer(questions: IO[bytes], answers: IO[bytes]) -> None:
    while True:
        try:
            key, picture = pickle.load(questions)
        except EOFError:
            return
        pickle.dump((key, *_render(picture)), answers)
        answers.flush()


def _render(picture: Picture) -> tuple[bytes, str]:
    """(PNG bytes, "") or (b"", what went wrong)."""
    try:
        return picture.render(), ""
    except Exception as error:
        return b"", f"{type(error).__name__}: {error}"
