"""Nodes of a config become the same objects as in Hydra, and errors name the key."""

import collections
import fractions
import re
from collections.abc import Sequence
from functools import partial

import pytest
from hydra.utils import instantiate as hydra_instantiate

from vaelab import families
from vaelab.instantiate import anything, instantiate

HERE = "test_instantiate"
COUNTER = {"_target_": "collections.Counter", "a": 2, "b": 3}
NODES = [
    None,
    3.5,
    [1, [2, "three"]],
    {"a": 1, "b": {"c": None}},
    COUNTER,
    {"_target_": "builtins.len", "_args_": [[1, 2, 3, 4, 5]]},
    {"_target_": "math.hypot", "_args_": [3, 4]},
    {"_target_": "fractions.Fraction.from_float", "_args_": [0.375]},
    {"_target_": "fractions.Fraction", "numerator": 3, "denominator": 7},
    {"_target_": "builtins.dict", "inner": COUNTER, "items": [COUNTER, {"deeper": COUNTER}]},
    {"_target_": "builtins.dict", "_recursive_": False, "inner": {"_target_": "nowhere.X"}},
    {"_target_": "builtins.dict", "_convert_": "all", "a": [1, 2]},
    {"a": COUNTER, "b": [COUNTER, None]},
]


class Tail:
    """A part that compares its arguments before it checks them."""

    def __init__(self, df: float, floor: "int | None" = None, name: int | str = 1, widths: Sequence[int] = ()):
        assert df > 0
        assert floor is None or floor > 0
        assert name > 0
        if isinstance(widths, str):
            raise ValueError("widths must be a list")


def caller(part):
    return part(3.0)


@pytest.mark.parametrize("node", NODES, ids=range(len(NODES)))
def test_a_node_gives_what_hydra_makes_of_it(node):
    ours = instantiate(node)
    theirs = hydra_instantiate(node, _convert_="all") if isinstance(node, dict | list) else node
    assert ours == theirs
    assert type(ours) is type(theirs)


def test_a_partial_waits_for_the_rest_of_its_arguments():
    node = {"_target_": "fractions.Fraction", "_partial_": True, "denominator": 7}
    ours, theirs = instantiate(node), hydra_instantiate(node)
    assert (ours.func, ours.args, ours.keywords) == (theirs.func, theirs.args, theirs.keywords)
    assert isinstance(ours, partial)
    assert ours(3) == fractions.Fraction(3, 7)


def test_further_arguments_win():
    assert instantiate(COUNTER, anything, "", b=7) == collections.Counter(a=2, b=7)
    assert instantiate({"_target_": "vaelab.families.Bernoulli"}, event_shape=[2, 3]).event_size == 6


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        (
            {"_target_": "nowhere.Thing"},
            "model._target_ must be importable, but is nowhere.Thing (No module",
        ),
        ({"_target_": "math.nothing"}, "model._target_ must be importable, but is math.nothing ("),
        ({"_target_": "math.pi"}, "model._target_ must name a class or a function, but math.pi is a float"),
        ({"_target_": ""}, "model._target_ must be importable"),
        (
            {"_target_": "vaelab.families.Laplace", "event_shape": [3], "min_st": 1},
            "model.min_st is not a key of vaelab.families.Laplace, so nothing would read it; did you mean model.min_s",
        ),
        (
            {"_target_": "vaelab.families.Bernoulli", "event_shape": [3], "qqq": 1},
            "model.qqq is not a key of vaelab.families.Bernoulli, so nothing would read it; leave it out, or add "
            "~model.qqq if an experiment sets it",
        ),
        (
            {"_target_": "vaelab.families.Laplace"},
            "model cannot be made by vaelab.families.Laplace (missing a required argument: 'event_shape'); set",
        ),
        (
            {"_target_": "vaelab.families.Laplace", "event_shape": [3], "min_std": -1},
            "model.min_std must be a number of at least 0, but is -1",
        ),
        (
            {"_target_": "vaelab.priors.LearnedPrior", "family": {"_target_": "vaelab.families.Laplace", "a": 1}},
            "model.family.a is not a key of vaelab.families.Laplace",
        ),
        (
            {"_target_": "builtins.dict", "a": [{"_target_": "math.nothing"}]},
            "model.a._target_ must be importable",
        ),
        (
            {"_target_": "operator.truediv", "_args_": [1, 0]},
            "model cannot be made by operator.truediv (ZeroDivisionError: division by zero); check its values",
        ),
        ({"_target_": f"{HERE}.Tail", "df": "a"}, "model.df must be a number, but is 'a'"),
        ({"_target_": f"{HERE}.Tail", "df": 3.0, "floor": "b"}, "model.floor must be a number, but is 'b'"),
        (
            {"_target_": f"{HERE}.Tail", "df": [3]},
            f"model cannot be made by {HERE}.Tail (TypeError: '>' not supported between instances of 'list' and 'int')",
        ),
        (
            {"_target_": f"{HERE}.Tail", "df": 3.0, "name": "c"},
            f"model cannot be made by {HERE}.Tail (TypeError: '>' not supported between instances of 'str' and 'int')",
        ),
        ({"_target_": f"{HERE}.Tail", "_partial_": True, "df": "d"}, "model.df must be a number, but is 'd'"),
        (
            {"_target_": f"{HERE}.caller", "part": {"_target_": f"{HERE}.Tail", "_partial_": True, "widths": "e"}},
            "widths must be a list",  # not a number
        ),
        ({"_target_": "torch.optim.Adam", "_partial_": True, "lrr": 1}, "model.lrr is not a key of torch.optim.Adam"),
    ],
)
def test_an_error_is_a_sentence_that_names_the_key(node, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        instantiate(node, anything, "model")


def test_only_what_is_allowed_is_called():
    asked = []

    def allow(target):
        asked.append(target)
        if target != "vaelab.families.Bernoulli":
            raise ValueError(f"{target} is not allowed")
        return families.Bernoulli

    node = {"a": {"_target_": "vaelab.families.Bernoulli", "event_shape": [3]}}
    assert isinstance(instantiate(node, allow)["a"], families.Bernoulli)
    for inner in ({"_target_": "os.getcwd"}, [{"b": {"_target_": "os.getcwd", "_partial_": True}}]):
        with pytest.raises(ValueError, match=r"os\.getcwd is not allowed"):
            instantiate({**node, "c": inner}, allow)
    assert set(asked) == {"vaelab.families.Bernoulli", "os.getcwd"}
