"""Ctrl-C and SIGTERM: at once, or, while weights are changing, between two minibatches."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vaelab import platforms

PATIENCE = 3.0  # seconds that a minibatch gets to end


class Stopped(BaseException):
    """A signal ended the run; no `except Exception` takes it for an error.

    Attributes:
        signal: which.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = signal.Signals(number)


class Stopping:
    """What a process does when a signal asks it to end: `Stopped` is raised, and outside `patient` at once.

    Attributes:
        asked: the signal that came, for whoever is patient to look at; None while there was none.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.is_patient = self.is_listening = False
        self.reminder: threading.Timer | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals; afterwards they are whose they were."""
        before = {number: signal.getsignal(number) for number in platforms.STOP_SIGNALS}
        self.asked, self.is_patient = None, False
        self.is_listening = threading.current_thread() is threading.main_thread()  # others get no signals
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
        """Takes the signals back from whoever took them since."""
        if self.is_listening:
            for number in platforms.STOP_SIGNALS:
                signal.signal(number, self._handle)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """What happens inside looks at `asked` itself, and calls `stop`; it gets a few seconds for that."""
        self.is_patient = True
        try:
            yield
        finally:
            self.is_patient = False

    def wait(self) -> None:
        """Gives whoever is patient all the time in the world, as to write a checkpoint."""
        if self.reminder is not None:
            self.reminder.cancel()

    def stop(self) -> None:
        """Ends the run where a signal has asked for it.

        Raises:
            Stopped: one has.
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


stopping = Stopping()  # signals are the process's, and so is this
