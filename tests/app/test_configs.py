"""Every option of every group composes, builds and trains; every pair that cannot work gets an error."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.needs import data_for, parts_for
from helpers.runner import ROOT, SHORT, TINY, compose_config
from vaelab.app.start import train
from vaelab.data.download import FASHION_MNIST, MNIST
from vaelab.objectives import Terms

CONF = ROOT / "conf"
OPTIONS = sorted(
    {f"{file.parent.name}={file.stem}" for file in CONF.glob("*/*.yaml") if file.parent.name not in ("data", "hydra")}
    - {"trainer=ddp"}  # it starts processes: training/test_parallel.py
)
SINES = ("sine", "sine_surface")
ON_MNIST = (
    "mnist",
    "conv_mnist",
    "burda",
    "burda_iwae",
    "burda_dreg",
    "burda_two_layers",
    "flow_prior",
    "latent_dim_sweep",
    "vamp",
)  # experiments


def mnist(folder):
    return [f"data.root={folder}", "data.val_size=13"]


def assert_trains(folder, overrides):
    train(compose_config(folder, *SHORT, *overrides))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test/elbo"] == pytest.approx(metrics["test/log_likelihood"] - metrics["test/kl"], abs=1e-4)


def test_the_list_of_options_is_not_empty():
    assert {option.split("=")[0] for option in OPTIONS} >= {"model", "posterior", "prior", "objective", "optimizer"}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_trains(option, small_mnist, tmp_path):
    if option in ("logger=mlflow", "logger=wandb"):
        pytest.importorskip(option.removeprefix("logger="), reason="the package is an extra")
    overrides = [*parts_for(option), *(data_for(option, small_mnist) or TINY)]
    if option in [f"experiment={name}" for name in ON_MNIST]:
        overrides = [option, "data=mnist", *mnist(small_mnist)]
    if option in ("experiment=factor_analysis", "experiment=table"):
        overrides = [option, f"data.path={small_mnist / 'rows.npy'}"]
    if option == "experiment=table":
        overrides += ["trainer.max_steps=5", "trainer.val_check_interval=2"]
    if option == "experiment=images":
        scored = ["trainer.max_steps=3", "trainer.val_check_interval=1"]
        overrides = [option, f"data.path={small_mnist / 'pictures.npy'}", *scored]
    if option == "experiment=fashion":
        overrides = [option, f"data.root={small_mnist}", "data.val_size=13"]
    if option == "experiment=digits":
        overrides = [option]
    if option == "experiment=conditional_mnist":
        overrides = [option, "condition=label", "data=digits", "data.val_size=13"]
    assert_trains(tmp_path, overrides)


@pytest.mark.parametrize(
    ("objective", "gradient"),
    [
        *(("elbo", gradient) for gradient in ("pathwise", "score_function", "score_function_baseline")),
        *(("elbo_monte_carlo", gradient) for gradient in ("stl", "score_function_baseline")),
        *(("piwae", gradient) for gradient in ("dreg", "vimco")),
    ],
)
def test_every_estimator_trains(objective, gradient, tmp_path):
    assert_trains(tmp_path, [f"objective={objective}", f"objective.gradient={gradient}", "objective.samples=3", *TINY])


def test_a_full_model_trains_on_the_surface(tmp_path):
    full = ["model=gaussian_full", "posterior=full", "prior=learned_full", "latent_dim=3"]
    assert_trains(tmp_path, ["data=sine_surface", *full, *TINY])


def test_a_gaussian_model_trains_on_images(small_mnist, tmp_path):
    assert_trains(tmp_path, ["model=gaussian_full", "data=mnist", *mnist(small_mnist)])


@pytest.mark.parametrize("data", SINES)
def test_bernoulli_refuses_real_valued_data(data, tmp_path):
    with pytest.raises(Exception, match=r"because sin\(x\+y\) is real-valued, but scores binary data; use"):
        train(compose_config(tmp_path, "model=bernoulli", f"data={data}"))


def test_early_stopping_ends_a_run_that_no_longer_improves(tmp_path):
    frozen = ["callbacks=early_stopping", "callbacks.early_stopping.patience=2", "optimizer.lr=0.0"]
    train(compose_config(tmp_path, *SHORT, *TINY, *frozen, "trainer.max_epochs=40", "trainer.log_every_n_steps=1"))
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 3  # the first epoch sets the best score; two more do not raise it


def test_a_run_without_validation_scores_its_last_weights(tmp_path):
    train(compose_config(tmp_path, *SHORT, *TINY, "trainer.limit_val_batches=0"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics) == {f"test/{name}" for name in (*Terms._fields, "baseline", "ceiling")}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"previous.ckpt", "last.ckpt"}


@pytest.mark.parametrize(("option", "published"), [("mnist", MNIST), ("fashion_mnist", FASHION_MNIST)])
def test_the_mirrors_of_the_config_are_those_of_the_library(option, published, tmp_path):
    assert tuple(compose_config(tmp_path, f"data={option}").data.mirrors) == published.mirrors


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        (["trainer.log_every_n_steps=3"], [2, 3, 6, 7]),  # 4 steps an epoch: after each third, and at its end
        (["trainer.log_every_n_steps=1", "trainer.accumulate_grad_batches=2"], [0, 1, 2, 3]),
        (["trainer.max_steps=6"], [3, 6]),  # stops within the second epoch
    ],
)
def test_the_train_curve_has_each_step_once_and_loses_none(changes, steps, tmp_path):
    config = compose_config(tmp_path, *SHORT, *TINY, "trainer.max_epochs=2", *changes)
    train(config)
    curve = EventAccumulator(str(tmp_path)).Reload().Scalars("train/elbo")
    assert [event.step for event in curve] == steps


def test_a_bar_that_nobody_wants_is_left_out(tmp_path):
    assert_trains(tmp_path, [*TINY, "trainer.enable_progress_bar=false", "callbacks.last=null"])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["best.ckpt"]


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("trainer.max_epochs=soon", "trainer.max_epochs must be a whole number of at least -1, but is 'soon'"),
        ("trainer.log_every_n_steps=0", "trainer.log_every_n_steps must be a whole number of at least 1, but is 0"),
        ("seed=-1", "seed must be a whole number of at least 0, but is -1"),
        ("threads=0", "threads must be a whole number of at least 1, but is 0"),
        ("compile=maybe", "compile must be true or false, but is 'maybe'"),
        ("matmul_precision=low", "matmul_precision must be one of highest, high, medium, but is low"),
        ("~model", "model must have a value, but is missing"),
        ("data.surface=maybe", "data.surface must be true or false, but is 'maybe'"),
        ("network.activation=[tanh]", "network.activation must be one of tanh, relu, .*, but is"),
        ("posterior.event_shape=[3]", r"the prior's z must have the posterior's shape \(3,\), but has \(2,\)"),
    ],
)
def test_values_that_do_not_fit_are_named(typed, answer, tmp_path):
    with pytest.raises(Exception, match=answer):
        train(compose_config(tmp_path, *SHORT, *TINY, typed))


def test_threads_and_the_precision_of_products_are_those_of_the_config(tmp_path):
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        for chosen, exactness in ((2, "medium"), (1, "highest")):
            keys = [f"threads={chosen}", f"matmul_precision={exactness}"]
            train(compose_config(tmp_path / exactness, *SHORT, *TINY, *keys))
            assert torch.get_num_threads() == chosen
            assert torch.get_float32_matmul_precision() == exactness
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


def test_fast_dev_run_takes_one_step_and_scores_it(tmp_path):
    train(compose_config(tmp_path, *SHORT, *TINY, "trainer.fast_dev_run=true"))
    assert set(json.loads((tmp_path / "metrics.json").read_text())) >= {"val/elbo", "test/elbo"}
