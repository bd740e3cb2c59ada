"""Imports point one way: the contracts of pyproject.toml."""

import subprocess
import sys
from pathlib import Path

from helpers.runner import ROOT


def test_the_import_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    process = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout
    assert "6 kept, 0 broken" in process.stdout
