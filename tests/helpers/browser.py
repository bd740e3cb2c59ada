"""Opens TensorBoard in a headless browser, and reads what is on its pages."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=1400,1000"]
WAIT = 40  # seconds, on a machine that is busy
DEEP = """
const found = [];
const visit = root => root.querySelectorAll('*').forEach(element => {
    if (element.matches(arguments[0])) found.push(element);
    if (element.shadowRoot) visit(element.shadowRoot);
});
visit(document);
"""


def needs_a_browser() -> None:
    """Skips the tests of a module if there is no browser, or nothing to drive it."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("there is no chromium with a chromedriver", allow_module_level=True)


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """Starts TensorBoard on a folder, and gives its address once it has read the runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _answers(f"{address}/data/runs"))
            yield address
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.read().strip() != b"[]"
    except (URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def chromium() -> Iterator[Any]:
    """Starts a headless browser."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, "--enable-unsafe-swiftshader"):  # the projector draws with WebGL
        options.add_argument(flag)
    os.environ.setdefault("SE_OFFLINE", "true")  # selenium would look for a newer driver
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait_for(condition: Callable[[], Any]) -> Any:
    """The first value of a condition that is not empty."""
    end = time.monotonic() + WAIT
    while not (value := condition()):
        assert time.monotonic() < end, "the page does not show it"
        time.sleep(0.1)
    return value


class Page:
    """One tab of TensorBoard."""

    def __init__(self, driver: Any, address: str, tab: str) -> None:
        self.driver = driver
        driver.get("about:blank")
        driver.get(f"{address}/#{tab}")

    def texts(self, selector: str) -> list[str]:
        """The texts of all elements, in the order of the page, inside shadow roots too."""
        script = DEEP + "return found.map(element => (element.innerText ?? element.textContent).trim());"
        return self.driver.execute_script(script, selector)

    def run(self, selector: str, script: str) -> Any:
        """What a script returns, in which `found` is the list of all elements."""
        return self.driver.execute_script(DEEP + script, selector)

    def properties(self, selector: str, name: str) -> list[Any]:
        """A JavaScript property of all elements."""
        return self.driver.execute_script(DEEP + "return found.map(element => element[arguments[1]]);", selector, name)

    def wait_for_texts(self, selector: str, enough: int = 1) -> list[str]:
        """As `texts`, once at least so many are not empty."""

        def look() -> list[str]:
            found = [text for text in self.texts(selector) if text]
            return found if len(found) >= enough else []

        return wait_for(look)

    def sizes(self, selector: str) -> list[tuple[int, int]]:
        """The natural width and height of all pictures that are loaded."""
        script = DEEP + "return found.map(element => [element.naturalWidth, element.naturalHeight]);"
        return [tuple(size) for size in self.driver.execute_script(script, selector) if size[0]]
