"""Processes of cells: each behaves like `python COMMAND…`, gets signals from its sweep, and ends with it."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers.forked import PRELOAD
from vaelab import platforms
from vaelab.sweeps.cell_process import Setting, run_python


def run(*command, asked=lambda: None, folder="", **environment):
    return run_python([str(part) for part in command], asked, Setting(str(folder), environment, PRELOAD))


@pytest.fixture
def script(tmp_path):
    """Writes a script and returns its path."""

    def write(text, name="script.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.fixture(params=["forked", "started anew"])
def way(request, monkeypatch):
    """Both ways to start a process. The second is for systems without a fork server."""
    monkeypatch.setattr(platforms, "HAS_FORK_SERVER", request.param == "forked")


ENDS = {
    "": 0,
    "import sys; sys.exit(7)": 7,
    "import sys; sys.exit('a sentence')": 1,
    "1 / 0": 1,
    "import os; os.kill(os.getpid(), 9)": -9,
    "import sys; assert sys.argv[1:] == ['a b', 'ü'] and __name__ == '__main__'": 0,
}


@pytest.mark.parametrize(("text", "code"), ENDS.items())
def test_a_script_ends_as_it_would_alone(text, code, script):
    assert run(script(text), "a b", "ü") == code


ALIKE = """
import json, multiprocessing, os, sys
found = {
    "name": __name__, "spec": __spec__ and __spec__.name, "arguments": sys.argv,
    "main": sys.modules["__main__"].__file__, "path": sys.path[0], "folder": os.getcwd(),
    "given": os.environ.get("GIVEN"), "stdin": sys.stdin.read(),
    "workers": multiprocessing.get_start_method(), "process": multiprocessing.current_process().name,
}
open("found.json", "w").write(json.dumps(found))
"""


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("module", [True, False])
def test_a_process_is_that_of_the_same_command_alone(module, script, tmp_path):
    """Its arguments, folder, variables, `__main__`, and start method for other processes."""
    path = script(ALIKE, "alike.py")
    command = [*(["-m", "alike"] if module else [str(path)]), "a b", "ü"]
    assert run(*command, folder=tmp_path, GIVEN="a b") == 0
    found = json.loads((tmp_path / "found.json").read_text())
    variables = os.environ | {"GIVEN": "a b"}
    subprocess.run([sys.executable, *command], cwd=tmp_path, env=variables, stdin=subprocess.DEVNULL, check=True)
    assert found == json.loads((tmp_path / "found.json").read_text())
    assert "GIVEN" not in os.environ


def test_the_script_that_starts_processes_is_not_imported_by_them(script, tmp_path):
    """A script may work at the top level, without a check of `__name__`."""
    inner = script("import sys; sys.exit(4 if 'ahead' in sys.modules else 5)")
    script("import sys; sys.modules['ahead'] = sys", "ahead_of_all.py")
    outer = script(
        "from vaelab.sweeps.cell_process import Setting, run_python\n"
        f"print([run_python([{str(inner)!r}], lambda: None, Setting(preload='ahead_of_all')) for _ in range(2)])",
        "outer.py",
    )
    ended = subprocess.run([sys.executable, str(outer)], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("[4, 4]\n", "")  # and what is imported ahead is found there


def test_a_server_that_cannot_start_is_an_exit_code(script):
    script("1 / 0", "broken.py")
    outer = script(
        "from vaelab.sweeps.cell_process import Setting, run_python\n"
        "print(run_python(['nothing.py'], lambda: None, Setting(preload='broken')))",
        "outer.py",
    )
    ended = subprocess.run([sys.executable, str(outer)], capture_output=True, text=True, check=True)
    assert ended.stdout == "1\n"
    assert "ZeroDivisionError" in ended.stderr


def test_what_a_run_imports_is_there(script):
    """multiprocessing says nothing if the import fails, and every cell would take seconds."""
    path = script("import gc, sys; sys.exit(4 if sys.argv[1] in sys.modules and gc.get_freeze_count() > 9999 else 5)")
    assert run(path, PRELOAD) == 4


def test_a_process_starts_though_there_is_no_room_for_the_servers_socket(script, tmp_path):
    """The path of a socket has at most 107 bytes."""
    (tmp_path / ("long" * 30)).mkdir()
    outer = script(
        "from vaelab.sweeps.cell_process import run_python\n"
        f"print(run_python([{str(script('import sys; sys.exit(7)', 'inner.py'))!r}], lambda: None))",
        "outer.py",
    )
    variables = os.environ | {"TMPDIR": str(tmp_path / ("long" * 30))}
    ended = subprocess.run([sys.executable, str(outer)], capture_output=True, text=True, env=variables, check=True)
    assert (ended.stdout, ended.stderr) == ("7\n", "")


def test_two_scripts_run_side_by_side(script, tmp_path):
    """Each waits until the other has begun."""
    path = script(
        "import pathlib, sys, time\nown, other = map(pathlib.Path, sys.argv[1:])\nown.touch()\n"
        "until = time.monotonic() + 60\n"
        "while not other.exists():\n    assert time.monotonic() < until\n    time.sleep(0.02)"
    )
    commands = [[path, tmp_path / one, tmp_path / other] for one, other in ("ab", "ba")]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda command: run(*command), commands)) == [0, 0]


def test_processes_that_start_at_once_keep_their_variables_apart(script, tmp_path):
    path = script(
        "import os, sys; open(sys.argv[1], 'w').write(' '.join(k for k in os.environ if k[:4] in ('OWN_', 'PYTH')))"
    )
    names = [f"OWN_{number}" for number in range(12)]
    with ThreadPoolExecutor(len(names)) as pool:
        codes = list(pool.map(lambda name: run(path, tmp_path / name, **{name: "1"}), names))
    assert codes == [0] * len(names)
    before = [key for key in os.environ if key.startswith("PYTH")]
    for name in names:
        assert sorted((tmp_path / name).read_text().split()) == sorted([*before, name])


@pytest.mark.usefixtures("way")
def test_a_script_is_stopped_when_that_is_asked(script, tmp_path):
    path = script("import pathlib, sys, time\npathlib.Path(sys.argv[1]).touch()\ntime.sleep(60)")
    began = time.monotonic()
    code = run(path, tmp_path / "begun", asked=lambda: 15 if (tmp_path / "begun").exists() else None)
    assert code == -15
    assert time.monotonic() - began < 30


def test_a_script_that_does_not_listen_is_killed(script, tmp_path, monkeypatch):
    monkeypatch.setattr("vaelab.sweeps.cell_process.PATIENCE", 0.3)
    path = script(
        "import pathlib, signal, sys, time\nsignal.signal(15, signal.SIG_IGN)\npathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)"
    )
    assert run(path, tmp_path / "begun", asked=lambda: 15 if (tmp_path / "begun").exists() else None) == -9


def test_a_wait_that_is_broken_off_leaves_no_process(script, tmp_path):
    begun, number = tmp_path / "begun", tmp_path / "number"
    path = script(
        f"import os, time\nopen({str(number)!r}, 'w').write(str(os.getpid()))\n"
        f"open({str(begun)!r}, 'w')\ntime.sleep(60)"
    )

    def asked():
        if begun.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, asked=asked)
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)


def test_a_script_listens_to_ctrl_c_though_who_runs_it_does_not(script, tmp_path):
    begun = tmp_path / "begun"
    path = script(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(60)")
    ask = (
        "import pathlib, signal; from vaelab.sweeps.cell_process import run_python; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); "
        f"print(run_python([{str(path)!r}], lambda: signal.SIGINT if pathlib.Path({str(begun)!r}).exists() else None))"
    )
    ended = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, timeout=50, check=True)
    assert (ended.stdout, ended.stderr) == ("130\n", "")


def test_ctrl_c_in_a_terminal_reaches_neither_server_nor_script(script, tmp_path):
    """Ctrl-C goes to all processes of the terminal's group, but only the sweep decides about its cells."""
    begun, done = tmp_path / "begun", tmp_path / "done"
    path = script(f"import time\nopen({str(begun)!r}, 'w')\ntime.sleep(1)\nopen({str(done)!r}, 'w')")
    script("import vaelab.sweeps.preloaded_process as c, time\nwith c.preloading():\n    time.sleep(1)", "slow.py")
    outer = script(
        "import signal; from vaelab.sweeps.cell_process import Setting, run_python\n"
        "signal.signal(signal.SIGINT, lambda *_: print('told', flush=True))\n"
        "print('ready', flush=True)\n"
        f"print(run_python([{str(path)!r}], lambda: None, Setting(preload='slow')))",
        "outer.py",
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, str(outer)], start_new_session=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.6)  # the server imports
    os.killpg(process.pid, signal.SIGINT)
    deadline = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    printed, said = process.communicate(timeout=30)
    assert (printed, said) == ("told\ntold\n0\n", "")
    assert done.exists()


@pytest.mark.parametrize("forked", [True, False])
def test_nobody_trains_on_after_a_sweep_that_was_killed(forked, script, tmp_path):
    alive = tmp_path / "alive"
    path = script(f"import time\nwhile True:\n    open({str(alive)!r}, 'a').write('.')\n    time.sleep(0.02)")
    ask = (
        f"from vaelab import platforms; platforms.HAS_FORK_SERVER = {forked}\n"
        f"from vaelab.sweeps.cell_process import run_python; run_python([{str(path)!r}], lambda: None)"
    )
    asking = subprocess.Popen([sys.executable, "-c", ask])
    deadline = time.monotonic() + 60
    while not alive.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    asking.kill()
    asking.wait()
    time.sleep(1.0)
    size = os.path.getsize(alive)
    time.sleep(0.3)
    assert os.path.getsize(alive) == size


def test_a_server_ends_with_its_sweep_while_it_imports(script, tmp_path):
    script(
        "import sys, time\nfrom vaelab.sweeps.preloaded_process import preloading\n"
        "with preloading():\n    print(1, file=sys.stderr, flush=True)\n    time.sleep(60)",
        "slow.py",
    )
    outer = script(
        "from vaelab.sweeps.cell_process import Setting, run_python\n"
        "run_python(['none.py'], lambda: None, Setting(preload='slow'))",
        "outer.py",
    )
    asking = subprocess.Popen([sys.executable, str(outer)], stderr=subprocess.PIPE, text=True)
    assert asking.stderr.readline() == "1\n"
    asking.kill()
    began = time.monotonic()
    assert asking.stderr.read() == ""  # which the server holds open too
    asking.wait()
    assert time.monotonic() - began < 20
