"""A low-priority process draws the pictures, so training does not wait. This file holds both ends of its pipe.

Pickled (key, picture) pairs go to its standard input, and pickled (key, PNG bytes, error) triples come from its
standard output. Nothing is pickled to or from a file. The process ends when its input ends, so it does not outlive a
parent that is killed.
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
from vaelab.figures.kl_bars import KLBars
from vaelab.figures.latents import LatentScatter
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
    """The result of drawing a picture.

    Attributes:
        key: the key that `DrawingProcess.draw` was called with.
        png: the contents of a PNG file; empty if drawing failed.
        error: the reason why drawing failed; empty if it did not.
    """

    key: Any
    png: bytes
    error: str


class DrawingProcess:
    """Starts the process at once. `draw` and `collect` do not wait, and `finish` waits at most for its timeout."""

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, *sys.path],  # it finds vaelab where this process found it
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.asked: queue.SimpleQueue[tuple[Any, Picture] | None] = queue.SimpleQueue()
        self.drawn: queue.SimpleQueue[Drawn] = queue.SimpleQueue()
        self.waiting = 0  # pictures that were requested and not yet collected
        self.timed_out = False
        self.writer = threading.Thread(target=self._write, daemon=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.writer.start()
        self.reader.start()

    def draw(self, key: Hashable, picture: Picture) -> None:
        """Requests a picture. `key` comes back with it."""
        self.waiting += 1
        self.asked.put((key, picture))

    @property
    def alive(self) -> bool:
        """True if the process is running."""
        return self.process.poll() is None

    def collect(self) -> list[Drawn]:
        """The pictures that were drawn since the last call."""
        done = [self.drawn.get() for _ in range(self.drawn.qsize())]
        self.waiting -= len(done)
        return done

    def hurry(self) -> None:
        """Gives the process normal priority from now on, because the run will wait for it."""
        if self.alive:
            platforms.take_normal_time(self.process.pid)

    def finish(self, timeout: float) -> None:
        """Waits at most `timeout` seconds for the requested pictures, and ends the process.

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
        """Ends the process at once."""
        self.hurry()  # it also needs time to free its memory, and at low priority a busy machine gives it none
        self.process.kill()
        self.process.wait()
        self.asked.put(None)
        for thread in (self.writer, self.reader):
            thread.join(1.0)

    def _write(self) -> None:
        assert self.process.stdin is not None
        with suppress(OSError), self.process.stdin as pipe:  # OSError: it died, and the reader will notice
            while (asked := self.asked.get()) is not None:
                pickle.dump(asked, pipe, pickle.HIGHEST_PROTOCOL)
                pipe.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(EOFError, OSError, pickle.UnpicklingError), self.process.stdout as pipe:
            while True:
                self.drawn.put(Drawn(*pickle.load(pipe)))


spare: list[DrawingProcess] = []  # started early, so their imports run at the same time as Lightning's


def serve() -> None:
    """Runs the drawing process: draws pictures from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and that closes the pipe
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # text that libraries print must not end up between the answers
    _warm_up()
    _answer(sys.stdin.buffer, answers)
    os._exit(0)  # the run waits for this process, and an ordinary exit takes longer than drawing a picture


def _warm_up() -> None:
    """Imports and caches what drawing needs, until a picture is requested. Errors will reappear with that picture."""
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
    """Renders a picture: (PNG bytes, "") or (b"", the error)."""
    try:
        return picture.render(), ""
    except Exception as error:
        return b"", f"{type(error).__name__}: {error}"
