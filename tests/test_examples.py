"""The examples in docstrings run, and every public class and function has one."""

import doctest
from importlib import import_module

import pytest
import torch

from helpers.runner import ROOT

SOURCE = ROOT / "src"
WITH_EXAMPLES = sorted(path for path in SOURCE.glob("vaelab/**/*.py") if ">>>" in path.read_text())
ROOMS = ("families", "priors", "networks", "objectives", "evaluation", "data", "training")
WITHOUT = {  # they need files, a trainer or a run; what gets an example leaves this list
    *(f"data.{name}" for name in ("Array", "DataModule", "FashionMNIST", "MNIST", "Reading", "Sine", "open_rows")),
    *(f"training.{name}" for name in ("CheckpointIO", "Diverged", "LastCheckpoint", "Pictures", "Progress")),
    *(f"training.{name}" for name in ("PruneTrial", "VAEModule", "ddp_processes", "fit")),
    *(f"training.{name}" for name in ("explain_write_errors", "keep_freed_memory", "quiet_lightning", "score_best")),
    *("training.unfinished_schedule", "training.worthwhile_threads"),
    *("evaluation.incomparable", "evaluation.warnings"),
}


def module_name(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_the_examples_of_a_module_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = import_module(module_name(path))
    torch.manual_seed(0)
    found = doctest.testmod(module)
    assert found.attempted > 0 or "doctest: +SKIP" in path.read_text()
    assert found.failed == 0


def public(room):
    """The exports of a package, with the names that users write."""
    module = import_module(f"vaelab.{room}")
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", own)
    return {f"{room}.{name}": getattr(module, name) for name in names if not name.startswith("_")}


def test_every_public_class_and_function_has_an_example():
    known = {name: value for room in ROOMS for name, value in public(room).items()}
    documented = {name: value for name, value in known.items() if callable(value) and not hasattr(value, "__args__")}
    assert len(documented) > 40
    assert {name for name, value in documented.items() if ">>>" not in (value.__doc__ or "")} <= WITHOUT
