"""docs/extending.md works as it is printed: its files are written, its commands run, and its rows pass the contract."""

import ast
import importlib
import re
import shlex
import sys

import pytest
import torch
from torch.testing import assert_close

import vaelab
from helpers import choices
from helpers.runner import ROOT, run_train

contract, prior_contract, objective_contract = (
    importlib.import_module(name)
    for name in ("families.test_family_contract", "priors.test_prior_contract", "objectives.test_objective_contract")
)
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
    assert type(run.vae.decoder.family).__name__ == "Grey"
    assert type(run.vae.prior).__name__ == "Mixture"
    metrics = run.metrics
    assert metrics["test/elbo"] <= metrics["test/bound"] < 500
    data = run.datamodule()
    data.setup()
    assert run.vae.encode(data.test[:3]).mean.shape == (3, 2)
    assert 0 <= run.vae.sample(5).min() <= run.vae.sample(5).max() <= 1


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
    from mypackage.objectives import Renyi

    from vaelab.steps.purity import why_impure

    run = vaelab.load_run(run_folder, allow=["mypackage"])
    assert why_impure(run.vae, Renyi()) is None


def test_the_callback_warms_beta_up(project):
    process = run_train(project, *TRAIN[1], *SHORT, "data.train_size=110", "data.val_size=30", "hydra.run.dir=warm")
    assert process.returncode == 0, process.stderr
    from mypackage.callbacks import WarmUp

    module = type("Module", (), {"objective": vaelab.objectives.ELBO()})()
    for epoch, beta in [(0, 0), (3, 0.3), (10, 1), (50, 1)]:
        WarmUp(10).on_train_epoch_start(type("Trainer", (), {"current_epoch": epoch}), module)
        assert module.objective.beta == beta


@pytest.fixture(scope="module")
def rows(project):
    """The rows that the page would add to helpers/choices.py, by name."""
    scope = vars(choices).copy()
    scope["NETWORKS"] = {}
    for module in ("likelihoods", "posteriors", "priors", "networks", "objectives"):
        scope |= vars(importlib.import_module(f"mypackage.{module}"))
    (code,) = (code for _, code in BLOCKS if code.startswith("# rows for"))
    *statements, mixture_parts, renyi_bound = ast.parse(code).body
    for function in (mixture_parts, renyi_bound):
        exec(compile(ast.Module([function], []), "extending.md", "exec"), scope)
    made = [eval(compile(ast.Expression(each.value), "extending.md", "eval"), scope) for each in statements]
    return {getattr(row, "name", "residual"): row for row in made}


def test_the_rows_of_the_page_pass_the_contract(rows):
    assert set(rows) == {"grey", "low_rank", "mixture", "residual", "renyi"}
    for row in (rows["grey"], rows["low_rank"]):
        contract.test_the_density_integrates_to_one(row)
        for shape in row.shapes:
            contract.test_leading_dimensions_are_the_batch_and_the_event_is_summed(row, shape)
            contract.test_draws_have_the_mean_the_standard_deviation_and_the_correlations(row, shape)
    prior_contract.test_the_density_and_the_moments_are_those_of_scipys_mixture(rows["mixture"])
    prior_contract.test_draws_have_the_mean_and_the_standard_deviation(rows["mixture"])
    prior_contract.test_a_copy_of_the_model_has_a_prior_of_its_own(rows["mixture"])
    combination = choices.LIKELIHOODS[0], rows["low_rank"], rows["mixture"], rows["renyi"]
    objective_contract.test_the_terms_average_to_their_integrals_and_the_bound_is_one(combination)
    objective_contract.test_the_gradient_averages_to_that_of_the_integral(rows["renyi"])
    x, c = torch.randn(3, 4, 2, 5), torch.randn(4, 6)
    network = rows["residual"]((2, 5), 7, condition_size=6)
    assert_close(network(x, c)[1, 2], network(x[1, 2], c[2]))
