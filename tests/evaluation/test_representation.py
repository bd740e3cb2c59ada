"""MIG, SAP and DCI against closed cases, and against disent if it is installed."""

import math
import sys
from functools import partial
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

from vaelab.evaluation import dci, mig, representation, sap
from vaelab.evaluation.representation import completeness, disentanglement

VALUES = (3, 4, 5)
ORDERED = np.array([True, True, True])
GRID = (
    np.stack(np.meshgrid(*map(np.arange, VALUES), indexing="ij"), axis=-1).reshape(-1, 3).repeat(8, axis=0)
)  # (480, 3)
NOISE = np.random.default_rng(0).normal(size=(len(GRID), 2))


def test_a_perfect_code_gives_one_in_any_order_and_scale():
    codes = np.concatenate([NOISE[:, :1], -3 * GRID[:, [2, 0]], NOISE[:, 1:], 0.1 * GRID[:, 1:2] + 7], axis=1)
    clean = codes.copy()
    clean[:, [0, 3]] = 0  # a useless latent that is off
    assert mig(clean, GRID) == pytest.approx(1)
    assert sap(clean, GRID, ORDERED) == pytest.approx(1)
    found = dci(clean, GRID)
    assert [found[f"dci_{name}"] for name in ("disentanglement", "completeness", "informativeness")] == [1, 1, 1]
    assert found["dci_informativeness_stderr"] == 0
    assert mig(codes, GRID) > 0.85  # counts in 20 bins overstate what noise tells
    assert sap(codes, GRID, ORDERED) > 0.95
    assert dci(codes, GRID)["dci_disentanglement"] > 0.97


def test_a_constant_code_gives_zero():
    codes = np.full((len(GRID), 4), 2.5)
    assert mig(codes, GRID) == sap(codes, GRID, ORDERED) == sap(codes, GRID, ~ORDERED) == 0
    found = dci(codes, GRID)
    assert found["dci_disentanglement"] == found["dci_completeness"] == 0
    assert found["dci_informativeness"] == pytest.approx(found["dci_guessing"], abs=0.06)


def test_a_code_that_is_repeated_has_no_gap_but_each_latent_serves_one_factor():
    codes = np.concatenate([GRID, GRID], axis=1).astype(float)
    assert mig(codes, GRID) == pytest.approx(0)
    assert sap(codes, GRID, ORDERED) == pytest.approx(0)
    matrix = np.concatenate([np.eye(3), np.eye(3)]) / 2
    assert disentanglement(matrix) == pytest.approx(1)
    assert completeness(matrix) == pytest.approx(1 - math.log(2, 6))


def test_a_code_turned_by_45_degrees_gives_what_theory_says():
    k = 64
    pairs = np.stack(np.meshgrid(np.arange(k), np.arange(k), indexing="ij"), axis=-1).reshape(-1, 2)
    codes = pairs @ np.array([[1, 1], [-1, 1]]) / math.sqrt(2)
    assert mig(codes, pairs) == pytest.approx(0, abs=1e-9)  # both latents tell the same about each factor
    assert sap(codes, pairs, ORDERED[:2]) == pytest.approx(0, abs=1e-9)
    found = dci(codes, pairs // 8)
    assert found["dci_disentanglement"] < 0.02  # each latent serves both factors alike
    assert found["dci_completeness"] < 0.02
    assert found["dci_informativeness"] > 0.8  # and yet together they tell both
    turned = [math.cos(math.pi / 6), math.sin(math.pi / 6)]  # by 30°: the squared correlations are ¾ and ¼
    codes = pairs @ np.array([turned, [-turned[1], turned[0]]])
    assert sap(codes, pairs, ORDERED[:2]) == pytest.approx(0.5, abs=1e-9)


def test_the_mutual_information_is_that_of_a_binary_channel():
    n, flip = 200_000, 0.2
    generator = np.random.default_rng(1)
    v = generator.integers(0, 2, (n, 1))
    code = np.where(generator.random((n, 1)) < flip, 1 - v, v).astype(float)
    capacity = math.log(2) + flip * math.log(flip) + (1 - flip) * math.log(1 - flip)
    assert mig(code, v) == pytest.approx(capacity / math.log(2), abs=0.005)
    assert sap(code, v, np.array([False])) == pytest.approx(1 - 2 * flip, abs=0.02)
    assert sap(code, v, np.array([True])) == pytest.approx((1 - 2 * flip) ** 2, abs=0.02)


def test_a_class_without_an_order_is_told_by_thresholds():
    code = np.array([2.0, 0.0, 1.0])[GRID[:, 0]][:, None]  # no line fits, but thresholds do
    assert sap(code, GRID[:, :1], np.array([False])) == pytest.approx(1)
    assert sap(code, GRID[:, :1], np.array([True])) == pytest.approx(0.25)


def test_factors_are_named_values_and_those_that_never_change_are_left_out():
    factors = {"a": GRID[:, 0], "b": 0.3 * GRID[:, 1] - 1, "one": np.zeros(len(GRID))}
    found = representation(GRID[:, :2].astype(float), factors)
    assert found["mig"] == pytest.approx(1)
    assert found["sap"] == pytest.approx(1)
    assert set(found) == {
        *("mig", "sap", "dci_disentanglement", "dci_completeness", "dci_informativeness"),
        *("dci_informativeness_stderr", "dci_guessing"),
    }
    assert representation(GRID[:40].astype(float), {"a": GRID[:40, 2]}) == {}
    assert representation(GRID.astype(float), {"one": np.zeros(len(GRID))}) == {}


def test_without_scikit_learn_the_others_remain(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    assert set(representation(GRID.astype(float), {"a": GRID[:, 0]})) == {"mig", "sap"}


def test_the_error_of_informativeness_covers_the_accuracy_on_other_examples():
    generator, factors, truth, inside, repeats = np.random.default_rng(2), 3, 0.7, 0, 400

    class Model:
        feature_importances_ = np.ones(2)

        def fit(self, codes, values):
            return self

        def predict(self, codes):
            return (generator.random(len(codes)) > truth).astype(int)

    for seed in range(repeats):
        found = dci(np.zeros((200, 2)), np.zeros((200, factors), np.int64), Model, seed)
        distance = abs(found["dci_informativeness"] - truth)
        inside += distance < 1.96 * found["dci_informativeness_stderr"]
    assert 0.92 < inside / repeats < 0.98


@pytest.fixture
def disent(monkeypatch):
    """The module NAME of disent's metrics, as a function of NAME. Its data sets would need torchvision."""
    package = pytest.importorskip("disent")
    stubs = {name: ModuleType(name) for name in ("disent.dataset", "disent.metrics")}
    stubs["disent.dataset"].DisentDataset = object
    stubs["disent.metrics"].__path__ = [f"{package.__path__[0]}/metrics"]
    for name, stub in stubs.items():
        monkeypatch.setitem(sys.modules, name, stub)
    return lambda name: import_module(f"disent.metrics.{name}")


def test_disent_agrees(disent):
    from sklearn.ensemble import GradientBoostingClassifier

    _mig, _sap, _dci = map(disent, ("_mig", "_sap", "_dci"))
    mixing = np.random.default_rng(3).normal(size=(3, 4))
    codes = GRID @ mixing + 0.3 * np.random.default_rng(4).normal(size=(len(GRID), 4))
    assert mig(codes, GRID) == pytest.approx(_mig._compute_mig(codes.T, GRID.T)["mig.discrete_score"], abs=1e-9)
    theirs = _sap._compute_sap(codes.T, GRID.T, codes.T, GRID.T, continuous_factors=True)
    assert sap(codes, GRID, ORDERED) == pytest.approx(theirs["sap.score"], abs=1e-9)
    importance = np.random.default_rng(5).random((4, 3)) ** 3
    assert disentanglement(importance) == pytest.approx(_dci._disentanglement(importance), abs=1e-6)
    assert completeness(importance) == pytest.approx(_dci._completeness(importance), abs=1e-6)
    order = np.random.default_rng(0).permutation(len(codes))
    fitted, held_out = np.split(order, [round(0.7 * len(codes))])
    make = partial(GradientBoostingClassifier, n_estimators=5, random_state=0)
    ours = dci(codes, GRID, make)
    models = [make().fit(codes[fitted], GRID[fitted, column]) for column in range(3)]
    matrix = np.stack([model.feature_importances_ for model in models], axis=1)
    right = [model.predict(codes[held_out]) == GRID[held_out, column] for column, model in enumerate(models)]
    assert ours["dci_disentanglement"] == pytest.approx(_dci._disentanglement(matrix), abs=1e-6)
    assert ours["dci_completeness"] == pytest.approx(_dci._completeness(matrix), abs=1e-6)
    assert ours["dci_informativeness"] == pytest.approx(np.mean(right))
