"""Ctrl-C and SIGTERM end a run: between two minibatches while weights change, and at once otherwise."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from vaelab import platforms

PATIENCE = 3.0  # seconds that a minibatch has to end


class Stopped(BaseException):
    """Raised when a signal ends the run. It is not an `Exception`, so `except Exception` does not catch it.

    Attributes:
        signal: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = signal.Signals(number)


class Stopping:
    """Ends a process after a signal: raises `Stopped`, immediately unless it is inside `patient` or `held`.

    Attributes:
        asked: the signal that came; None if none has come.
        was_raised: true if `Stopped` was raised, which may be inside any code, such as a library's.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self.was_raised = False
        self.is_patient = self.is_listening = False
        self.is_holding = self.is_held_back = False
        self.reminder: threading.Timer | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the signals inside the block, and restores the earlier handlers after it.

        If a library catches `Stopped` and fails with an error of its own, the block still ends with `Stopped`.
        """
        before = {number: signal.getsignal(number) for number in platforms.STOP_SIGNALS}
        self.asked, self.is_patient, self.was_raised = None, False, False
        self.is_listening = threading.current_thread() is threading.main_thread()  # other threads get no signals
        self.listen()
        try:
            yield
        except Exception as error:
            if self.asked is None or not self.was_raised:
                raise
            raise Stopped(self.asked) from error
        finally:
            self.wait()
            if self.is_listening:
                self.is_listening = False
                for number, handler in before.items():
                    signal.signal(number, handler)

    def listen(self) -> None:
        """Handles the signals again after other code, such as Lightning, has set its own handlers."""
        if self.is_listening:
            for number in platforms.STOP_SIGNALS:
                signal.signal(number, self._handle)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Lets the code inside the block check `asked` and call `stop` itself, within `PATIENCE` seconds."""
        self.is_patient = True
        try:
            yield
        finally:
            self.is_patient = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds a signal back until the block ends: `Stopped` inside a library's queue could leave a lock closed.

        After `PATIENCE` seconds, or at a second signal within the block, `Stopped` is raised all the same.
        """
        if self.is_holding:
            yield
            return
        self.is_holding, self.is_held_back = True, False
        try:
            yield
        finally:
            self.is_holding = False
        if self.is_held_back:
            self.stop()

    def wait(self) -> None:
        """Lifts this time limit, for example to write a checkpoint."""
        if self.reminder is not None:
            self.reminder.cancel()

    def stop(self) -> None:
        """Ends the run if a signal has come.

        Raises:
            Stopped: a signal has come.
        """
        if self.asked is not None:
            self.wait()
            self.was_raised = True
            raise Stopped(self.asked)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked is not None, self.asked or number
        if again or not self.is_patient:
            if not self.is_holding or self.is_held_back:
                self.stop()
            self.is_held_back = True
        self.wait()
        self.reminder = threading.Timer(PATIENCE, platforms.interrupt_main_thread)
        self.reminder.daemon = True
        self.reminder.start()


stopping = Stopping()  # one for the process, like the signals
