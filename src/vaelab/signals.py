"""Ctrl-C and SIGTERM end a run: between two minibatches while weights change, and at once otherwise."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vaelab import platforms

PATIENCE = 3.0  # seconds that a minibatch gets to end


class Stopped(BaseException):
    """A signal ended the run. It is no `Exception`, so that `except Exception` does not catch it.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = signal.Signals(number)


class Stopping:
    """What a process does when a signal asks it to end: it raises `Stopped`, at once unless it is inside `patient`.

    Attributes:
        asked: the signal that came; None if none has.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.is_patient = self.is_listening = False
        self.reminder: threading.Timer | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the signals inside the block, and gives them back to the earlier handlers after it."""
        before = {number: signal.getsignal(number) for number in platforms.STOP_SIGNALS}
        self.asked, self.is_patient = None, False
        self.is_listening = threading.current_thread() is threading.main_thread()  # other threads get no signals
        self.listen()
        try:
            yield
        finally:
            self.wait()
            if self.is_listening:
                self.is_listening = False
                for number, handler in before.items():
                    signal.signal(number, handler)

    def listen(self) -> None:
        """Takes the signals back from code that has set handlers of its own since, such as Lightning's."""
        if self.is_listening:
            for number in platforms.STOP_SIGNALS:
                signal.signal(number, self._handle)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Code inside the block looks at `asked` itself and calls `stop`, for which it has `PATIENCE` seconds."""
        self.is_patient = True
        try:
            yield
        finally:
            self.is_patient = False

    def wait(self) -> None:
        """Lifts that limit of time, for instance to write a checkpoint."""
        if self.reminder is not None:
            self.reminder.cancel()

    def stop(self) -> None:
        """Ends the run if a signal has asked for it.

        Raises:
            Stopped: a signal has.
        """
        if self.asked is not None:
            self.wait()
            raise Stopped(self.asked)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked is not None, self.asked or number
        if again or not self.is_patient:
            self.stop()
        self.reminder = threading.Timer(PATIENCE, platforms.interrupt_main_thread)
        self.reminder.daemon = True
        self.reminder.start()


stopping = Stopping()  # one for the process, like the signals
