"""docs/extending.md works as it is printed: its files are written, its commands run, and its rows pass the contract."""

import os
import re
import shlex
import subprocess
import sys

import pytest

import vaelab
from helpers.runner import ROOT, run_train

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.S | re.M)
FILES = {match[1]: code for _, code in BLOCKS if (match := re.match(r"# ((?:mypackage|options)/\S+)\n", code))}
TRAIN = [
    shlex.split(line)[2:]
    for kind, code in BLOCKS
    for line in code.splitlines()
    if kind == "sh" and line.startswith("vaelab train --config-dir")
]
SHORT = ("trainer.max_epochs=2", "data.batch_size=25", "callbacks.pictures=null", "hydra.run.dir=run")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extending")
    for name, code in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)
    (folder / "mypackage" / "__init__.py").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.syspath_prepend(str(folder))
        yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "mypackage"]:
        del sys.modules[name]


def test_the_page_has_a_file_for_each_part():
    assert len(FILES) == 14
    assert len(TRAIN) == 2


@pytest.fixture(scope="module")
def run_folder(project):
    process = run_train(project, *TRAIN[0], *SHORT, "data.train_size=110", "data.val_size=30")
    assert process.returncode == 0, process.stderr
    return project / "run"


def test_all_parts_train_together_and_the_run_is_loaded(run_folder):
    with pytest.raises(ValueError, match="allow"):
        vaelab.load_run(run_folder)
    run = vaelab.load_run(run_folder, allow=["mypackage"])
    assert type(run.vae.decoder.family).__name__ == "Secant"
    assert type(run.vae.prior).__name__ == "Ring"
    metrics = run.metrics
    assert metrics["test/elbo"] <= metrics["test/bound"] < 500
    data = run.datamodule()
    data.setup()
    assert run.vae.encode(data.test[:3]).mean.shape == (3, 2)
    assert run.vae.sample(5).shape == (5, 1, 8, 8)


def test_commands_and_resume_take_the_run_if_the_package_is_allowed(run_folder, capsys):
    from vaelab.app.cli import main

    with pytest.raises(SystemExit, match="allow"):
        main(["evaluate", str(run_folder)])
    main(["evaluate", str(run_folder), "--samples", "20", "--allow", "mypackage"])
    assert "nll" in capsys.readouterr().out
    before = vaelab.load_run(run_folder, allow=["mypackage"]).metrics
    resume = f"resume={run_folder}", "trainer.max_epochs=3", "allow=mypackage"
    process = run_train(run_folder.parent, *resume)
    assert process.returncode == 0, process.stderr
    after = vaelab.load_run(run_folder, allow=["mypackage"]).metrics
    assert after.keys() == before.keys()
    assert after["test/bound"] > before["test/bound"]


def test_a_step_of_all_parts_can_be_traced(run_folder):
    from mypackage.objectives import Thermodynamic

    from vaelab.steps.purity import why_impure

    run = vaelab.load_run(run_folder, allow=["mypackage"])
    assert why_impure(run.vae, Thermodynamic()) is None


def test_the_callback_draws_more_in_the_last_epochs(project):
    process = run_train(project, *TRAIN[1], *SHORT, "data.train_size=110", "data.val_size=30", "hydra.run.dir=warm")
    assert process.returncode == 0, process.stderr
    from mypackage.callbacks import MoreDraws

    module = type("Module", (), {"objective": vaelab.objectives.ELBO()})()
    for epoch, samples in [(0, 1), (16, 1), (17, 7), (19, 7)]:
        trainer = type("Trainer", (), {"current_epoch": epoch, "max_epochs": 20})
        MoreDraws(last_epochs=3, samples=7).on_train_epoch_start(trainer, module)
        assert module.objective.samples == samples


ADD_ROWS = """
import importlib
from helpers import choices

scope = vars(choices)
for module in ("likelihoods", "posteriors", "priors", "networks", "objectives"):
    scope |= vars(importlib.import_module(f"mypackage.{module}"))
rows, functions = CODE.split("\\n\\n\\n", 1)
exec(functions, scope)
for line in rows.splitlines()[1:]:
    row, _, place = line.partition("  # in ")
    if place:
        scope[place][1:] = [eval(row, scope)]  # the first one stays, for combinations
    else:
        exec(row, scope)
choices.FAMILIES[:] = [*choices.LIKELIHOODS, *choices.POSTERIORS]
"""


def test_the_rows_of_the_page_pass_the_contract(project):
    (code,) = (code for _, code in BLOCKS if code.startswith("# rows for"))
    (project / "add_rows.py").write_text(f"CODE = {code!r}\n{ADD_ROWS}")
    (command,) = (line for kind, code in BLOCKS if kind == "sh" for line in code.splitlines() if "pytest" in line)
    names = "secant or low_rank or ring or skip or thermodynamic"
    arguments = shlex.split(command.replace("NAME", f"'{names}'"))[1:]
    path = os.pathsep.join(map(str, (project, ROOT / "tests", ROOT)))
    process = subprocess.run(
        [sys.executable, *arguments, "-vv", "-p", "add_rows", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    passed = re.findall(r"^(tests/\S+?)::\w+\[(\S+)\] PASSED", process.stdout, re.M)
    ran = {path for path, case in passed if re.search(names.replace(" or ", "|"), case)}
    assert ran >= {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/**/test_*.py") if takes_rows(path)}


def takes_rows(path):
    """True if a module's tests, without its drills, run over the rows of choices."""
    tests = re.sub(r"@pytest\.mark\.drill\n(@.*\n)+", "", path.read_text())
    return bool(re.search(r"named\((LIKELIHOODS|FAMILIES|POSTERIORS|PRIORS|OBJECTIVES|pairwise)|, NETWORKS\)", tests))
