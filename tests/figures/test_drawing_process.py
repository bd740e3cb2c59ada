"""The drawing process answers, survives errors, and ends."""

import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vaelab.figures import DrawingProcess, KLBars, Picture


@dataclass(frozen=True, eq=False)
class Slow(Picture):
    """Takes longer than any timeout. The drawing process can unpickle it, because it gets this process's sys.path."""

    seconds: float = 60.0

    def _draw(self):
        print("what is printed does not end up between the answers")
        time.sleep(self.seconds)
        return KLBars(np.ones(2))._draw()


def finish(process, timeout):
    process.finish(timeout)
    return process.collect()


def test_it_draws_in_order_and_says_what_failed():
    process = DrawingProcess()
    process.draw("good", KLBars(np.ones(3)))
    process.draw("bad", KLBars(np.array([np.inf] * 70)))
    process.draw("printed", Slow(0.0))
    good, bad, printed = finish(process, 120)
    assert (good.key, bad.key, printed.key) == ("good", "bad", "printed")
    assert Image.open(io.BytesIO(good.png)).format == "PNG"
    assert bad.png == b""
    assert bad.error.startswith("ValueError")
    assert printed.error == ""
    assert process.waiting == 0
    assert process.process.returncode == 0


def test_more_than_a_pipe_holds_does_not_make_the_caller_wait():
    process, large = DrawingProcess(), KLBars(np.ones(10_000_000))
    started = time.perf_counter()
    process.draw("large", large)
    assert time.perf_counter() - started < 0.5
    process.kill()
    assert process.process.returncode is not None


def test_it_waits_no_longer_than_it_was_told():
    process = DrawingProcess()
    process.draw("slow", Slow())
    started = time.perf_counter()
    assert finish(process, 0.3) == []
    assert time.perf_counter() - started < 3
    assert process.timed_out
    assert process.waiting == 1
    assert process.process.returncode is not None


def test_it_ends_at_once_on_a_busy_machine():
    process = DrawingProcess()
    process.draw("first", KLBars(np.ones(3)))
    while not process.drawn.qsize():
        time.sleep(0.05)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        started = time.perf_counter()
        process.kill()
        assert time.perf_counter() - started < 2
    finally:
        for each in busy:
            each.kill()
            each.wait()


def test_a_killed_process_is_noticed_at_once():
    process = DrawingProcess()
    process.draw("slow", Slow())
    process.process.kill()
    started = time.perf_counter()
    assert finish(process, 120) == []
    assert time.perf_counter() - started < 5
    assert not process.timed_out
    assert process.waiting == 1


def test_it_leaves_ctrl_c_to_its_parent_and_ends_with_its_input():
    process = DrawingProcess()
    process.draw("first", KLBars(np.ones(3)))
    while not (first := process.collect()):
        time.sleep(0.02)
    assert first[0].key == "first"
    process.process.send_signal(signal.SIGINT)
    process.draw("second", KLBars(np.ones(3)))
    assert [drawn.key for drawn in finish(process, 120)] == ["second"]
    assert process.process.returncode == 0


def test_it_takes_idle_time_alone_until_someone_waits():
    process = DrawingProcess()
    idle = getattr(os, "SCHED_IDLE", None)  # elsewhere it is nice
    process.draw("picture", KLBars(np.ones(3)))
    deadline = time.monotonic() + 30
    while not process.drawn.qsize() and time.monotonic() < deadline:
        time.sleep(0.01)
    priority = (
        os.sched_getscheduler(process.process.pid) if idle else os.getpriority(os.PRIO_PROCESS, process.process.pid)
    )
    assert priority == idle if idle else priority > 0
    process.hurry()
    assert idle is None or os.sched_getscheduler(process.process.pid) == os.SCHED_OTHER
    assert [drawn.key for drawn in finish(process, 120)] == ["picture"]
