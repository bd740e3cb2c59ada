"""The wheel trains from any folder without a clone, and an editable install reads conf/ where it is edited."""

import os
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import vaelab
from helpers.runner import ROOT, SHORT
from vaelab.runs.run_state import read_state

BUILD = """
import os, sys, tarfile
from hatchling.build import build_editable, build_sdist, build_wheel

out = sys.argv[1]
with tarfile.open(os.path.join(out, build_sdist(out))) as sdist:
    sdist.extractall(out)
os.chdir(os.path.join(out, sys.argv[2]))
build_wheel(out)
os.mkdir("editable")
build_editable("editable")
"""
OWN = "from vaelab.data import Sine\n\n\nclass Rows(Sine):\n    pass\n"
OPTION = "_target_: my_rows.Rows\ntrain_size: 30\nval_size: 7\ntest_size: 11\nbatch_size: 8\n"
NAME = f"vaelab-{vaelab.__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist, the wheel that is built from it, and an editable install of the unpacked sdist."""
    out = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-c", BUILD, str(out), NAME], cwd=ROOT, check=True, capture_output=True)
    for wheel, site in ((next(out.glob("*.whl")), "site"), (next((out / NAME / "editable").glob("*.whl")), "linked")):
        zipfile.ZipFile(wheel).extractall(out / site)
    (link,) = (out / "linked").glob("*.pth")
    return SimpleNamespace(
        sdist=next(out.glob("*.tar.gz")),
        source=out / NAME,
        site=out / "site",
        linked=f"{out / 'linked'}{os.pathsep}{link.read_text().strip()}",
    )


def run(path, cwd, *command):
    """`python -m vaelab COMMAND` with another installation of vaelab."""
    return subprocess.run(
        [sys.executable, "-m", "vaelab", *command],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_sdist_and_the_wheel_hold_every_config_file(built):
    files = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / "conf").rglob("*.yaml")}
    assert len(files) > 30
    with tarfile.open(built.sdist) as sdist:
        names = set(sdist.getnames())
    assert {f"{NAME}/{name}" for name in (*map(str, files), "train.py", "tests/test_packaging.py")} <= names
    assert {name: (built.site / "vaelab" / name).read_bytes() for name in files} == files
    scripts = (built.site / f"{NAME}.dist-info" / "entry_points.txt").read_text()
    assert "vaelab = vaelab.app.cli:main" in scripts


def test_the_wheel_trains_from_an_empty_folder_with_options_of_your_own(built, tmp_path):
    """One run on two processes and a sweep of two cells, with data of a module in the current folder."""
    (tmp_path / "my_rows.py").write_text(OWN)
    (tmp_path / "own" / "data").mkdir(parents=True)
    (tmp_path / "own" / "data" / "mine.yaml").write_text(OPTION)
    own = ("--config-dir", "own", *SHORT, "data=mine")
    commands = [
        ("train", *own, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=alone"),
        ("train", "-m", *own, "latent_dim=1,3", "hydra.sweep.dir=sweep"),
    ]
    with ThreadPoolExecutor() as pool:
        for process in pool.map(lambda command: run(built.site, tmp_path, *command), commands):
            assert process.returncode == 0, process.stderr
    for folder in ("alone", "sweep/latent_dim=1", "sweep/latent_dim=3"):
        assert read_state(tmp_path / folder).state == "done"
    sources = (tmp_path / "alone" / ".hydra" / "hydra.yaml").read_text()
    assert f"path: {built.site / 'vaelab' / 'conf'}\n" in sources


def test_an_edit_in_conf_takes_effect_in_an_editable_install(built, tmp_path):
    assert not list(built.site.with_name("linked").rglob("*.yaml"))  # no copy that goes stale
    page = built.source / "conf" / "train.yaml"
    page.write_text(page.read_text().replace("latent_dim: 2 ", "latent_dim: 17 "))
    shown = run(built.linked, tmp_path, "train", "--cfg", "job")
    assert "latent_dim: 17\n" in shown.stdout, shown.stderr


def test_the_version_is_that_of_the_package(built, tmp_path):
    shown = run(built.site, tmp_path, "--version")
    assert shown.stdout == f"vaelab {vaelab.__version__}\n"
    assert f'version = "{vaelab.__version__}"\n' in Path(ROOT, "pyproject.toml").read_text()
