"""Where progress bars are drawn, and what a notebook keeps of them."""

import sys
import types

import pytest

from vaelab.app import from_python
from vaelab.progress import DRAWN, CellOutput, environment_of_a_run, examples_bar, redraws


class Display:
    """Stands in for IPython: every output of a cell, with its newest state."""

    def __init__(self):
        self.outputs = []

    def display(self, state, raw, display_id):
        assert raw
        assert display_id
        self.outputs.append(state["text/plain"])
        return types.SimpleNamespace(update=self.updater(len(self.outputs) - 1))

    def updater(self, number):
        def update(state, raw):
            self.outputs[number] = state["text/plain"]

        return update


@pytest.fixture
def cell(monkeypatch):
    shown = Display()
    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    module.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


TEXT = "read 5 rows\n\rstep 1\rstep 2 of\rstep 3\nelbo  -1.5\n\nrun outputs\n\r 5 %\r    \nend"
PRINTED = "read 5 rows\nelbo  -1.5\n\nrun outputs\nend"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_line_that_is_overwritten_leaves_its_last_state(size, newline, cell, capsys):
    output, text = CellOutput(), TEXT.replace("\n", newline)
    for start in range(0, len(text), size):
        output.write(text[start : start + size])
    output.close()
    assert capsys.readouterr().out == PRINTED
    assert [state for state in cell.outputs if state] == ["step 3"]


class OutStream(list):
    """Stands in for the stream of a notebook's cell."""

    def isatty(self):
        return False

    def write(self, text):
        self.append(text)

    def flush(self):
        pass


OutStream.__module__ = "ipykernel.iostream"


class Terminal(OutStream):
    """Stands in for a terminal."""

    def isatty(self):
        return True

    def fileno(self):
        raise OSError


def test_a_run_draws_its_bar_on_a_terminal_and_in_a_notebook_only(tmp_path, monkeypatch):
    monkeypatch.delenv(DRAWN, raising=False)
    assert redraws(OutStream())
    assert redraws(Terminal())
    with (tmp_path / "log").open("w") as file:
        assert not redraws(file)
        assert environment_of_a_run(file) == {}
    assert environment_of_a_run(OutStream()) == {DRAWN: "1", "COLUMNS": "100"}
    monkeypatch.setattr(sys, "stdout", OutStream())
    assert DRAWN in from_python._variables(["latent_dim=3"])
    assert DRAWN not in from_python._variables(["-m", "latent_dim=3,5"])


def test_a_long_evaluation_shows_a_bar_in_a_notebook(cell, monkeypatch):
    monkeypatch.setattr("vaelab.progress.SOON", 0.0)
    monkeypatch.setattr(sys, "stdout", OutStream())
    with examples_bar(40) as bar:
        bar.update(10)
        bar.refresh()
        (state,) = cell.outputs
        assert " 25%|" in state
        assert "10/40" in state
    assert cell.outputs == [""]  # it is gone when the numbers are there


def test_a_bar_in_a_file_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.progress.SOON", 0.0)
    with (tmp_path / "log").open("w+") as file:
        monkeypatch.setattr(sys, "stderr", file)
        with examples_bar(40) as bar:
            bar.update(10)
        assert (tmp_path / "log").read_text() == ""
