"""Private names of a library are used in only one file per library, which says why."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src"
LIBRARIES = {  # library -> the only places that may use its private names
    "torch": ("vaelab/torch_private.py",),
    "lightning": ("vaelab/training/lightning_private.py",),
    "hydra": ("vaelab/app/hydra_private.py",),
    "omegaconf": ("vaelab/app/hydra_private.py",),
}
FILES = sorted(path for path in ROOT.rglob("*.py"))
PUBLIC = {"_asdict", "_fields", "_replace", "_exit", "_thread"}  # a NamedTuple's, os._exit, and a standard module
ELSEWHERE = {  # private names of other libraries, each in one file
    "vaelab/checkpoint.py": {"_EndRecData"},  # zipfile reads an archive's list of parts before one can see its length
    "vaelab/training/pruning.py": {"_trial_id"},  # Optuna's number of a trial in its storage
}


def is_private(name):
    """True for _name, not for __name__, and not for Hydra's keys such as _target_."""
    return name.startswith("_") and not name.startswith("__") and not name.endswith("_")


def private_imports(tree):
    """(library, name) for each import of a private name, or from a private module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if any(is_private(part) for part in (*node.module.split("."), alias.name)):
                    yield node.module.split(".")[0], f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if any(is_private(part) for part in alias.name.split(".")):
                    yield alias.name.split(".")[0], alias.name


def private_attributes(tree):
    """Each attribute `x._name` of something other than the object or the class itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            whole = ast.unparse(node.value)
            if whole not in ("self", "cls", "super()"):
                yield node.attr


def own_attributes(tree):
    """(the private attributes of `self` that a file uses, those that it defines)."""
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)]
    used = [node for node in used if ast.unparse(node.value) in ("self", "cls")]
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {node.attr for node in used}, defined | {node.attr for node in used if isinstance(node.ctx, ast.Store)}


TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in FILES}
DEFINED_HERE = PUBLIC.union(*(own_attributes(tree)[1] for tree in TREES.values()))


def violations(name, tree):
    """The private names of libraries that a file uses and must not."""
    found = {whole for library, whole in private_imports(tree) if not name.startswith(LIBRARIES.get(library, ("?",)))}
    if any(name.startswith(places) for places in LIBRARIES.values()):
        return found
    used = own_attributes(tree)[0] | set(private_attributes(tree))
    return (found | (used - ELSEWHERE.get(name, set()))) - DEFINED_HERE


@pytest.mark.parametrize("name", TREES)
def test_private_names_are_used_in_one_file_per_library(name):
    assert violations(name, TREES[name]) == set()


@pytest.mark.parametrize(
    "line",
    [
        *(
            "import torch._dynamo",
            "from torch._C import x",
            "from lightning.pytorch.loops.fetchers import _DataFetcher",
        ),
        *("from hydra._internal.utils import x", "trainer._detect_anomaly", "self._restarting = True; self._unknown"),
    ],
)
def test_the_search_finds_them(line):
    assert violations("vaelab/some.py", ast.parse(line))


def test_every_private_name_has_its_reason():
    for library, (place, *_) in LIBRARIES.items():
        if library in ("torch", "lightning"):
            tree = ast.parse((ROOT / place).read_text())
            functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
            assert functions
            assert all(ast.get_docstring(function) for function in functions)
