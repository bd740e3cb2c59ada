"""A run that comes from anyone: nothing of it runs, writes or fetches outside its folder, and its cost is bounded."""

import json
import os
import re
import shutil
import socket
from importlib import import_module
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

import vaelab
from drills.hostile_folders import HOSTILE, config, edited, state, victims
from helpers.runner import ROOT, TINY, compose_config
from vaelab.app.fit import build, recipe
from vaelab.app.restart import without_checkpoint
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.errors import one_sentence
from vaelab.runs import memory_needed as sizes
from vaelab.runs.environment import write_environment
from vaelab.runs.find_checkpoint import newest_checkpoint
from vaelab.runs.folder import check_length, check_own, in_use, locked
from vaelab.runs.local_data import check_at_hand, local_data
from vaelab.runs.memory_needed import check_sizes, memory
from vaelab.runs.run_state import State, read_state, write_state
from vaelab.runs.schema import is_inside, kinds_of
from vaelab.runs.trust import check_config, with_own_study
from vaelab.training import CheckpointIO, checkpoint_io

CONF = ROOT / "conf"
RUN = (
    *("trainer.max_epochs=2", "data.train_size=60", "data.val_size=20", "data.test_size=20", "data.batch_size=30"),
    *("network.hidden=[6]", "latent_dim=3", "callbacks.pictures=null", "scheduler=exponential"),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust") / "good"
    train(compose_config(folder, *RUN))
    (folder / "figures").mkdir()
    return folder


@pytest.fixture
def place(good, tmp_path, monkeypatch):
    """A copy of the good run beside some victims; whoever reaches for the network fails the test."""
    victims(tmp_path / "outside")
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: pytest.fail("something reached for the network"))
    monkeypatch.chdir(tmp_path / "outside")
    shutil.copytree(good, tmp_path / "run")
    return tmp_path


def contents(folder):
    return {path: content(path) for path in sorted(folder.rglob("*"))}


def content(path):
    if path.is_symlink():
        return str(path.readlink())
    return path.read_bytes() if path.is_file() else path.stat().st_mode


# Each of these is resumed here; the drill does all of them with every verb, in processes of their own.
REFUSED = [
    *("link at hparams.yaml", "link at checkpoints", "link at .lock", "hard link at events", "hard link at last.ckpt"),
    *("pipe at train.log", "pipe at last.ckpt", "socket at state.json", "link to itself"),
    *("positional arguments", "convert", "partial callback", "command as optimizer", "modules through torch"),
    *("partial of partial", "attribute of a class", "drawing process as data", "a constructor inside a list"),
    *("checkpoints elsewhere", "checkpoints in the folder above", "checkpoints at a relative path"),
    *("checkpoints by a format", "checkpoints by an interpolation", "checkpoints at home"),
    *("checkpoints at an address", "file name with a path", "file name with a format"),
    *("file name with a wide format", "file name with an attribute", "root elsewhere", "profiler", "plugin"),
    *("strategy", "many processes", "many machines", "log elsewhere", "log at an address", "log version with a path"),
    *(
        "log name with a path",
        "log at a variable",
        "another logger",
        "mirrors",
        "unknown key",
        "unknown key at the top",
    ),
    *("best checkpoint elsewhere", "worst checkpoint elsewhere", "last checkpoint of a state", "folder of a state"),
    *(
        "folder at .x.part",
        "folder at evaluation_x.json",
        "folder at metrics.json",
        "deep folders",
        "a command of harm",
    ),
    *("file name from a metric", "file name from a counter"),
    *("unknown key of a state", "unknown part", "curves of no size", "no position", "counters of huge numbers"),
    *("counters before the beginning", "config of another type", "many rows", "many draws"),
    *("many threads", "hundreds of digits", "nothing but NaN", "wrong types", "long names", "sparse weights"),
    *("weights on no device", "shared containers", "containers in themselves", "deep containers"),
    *("a pickled command", "a pickled allocation", "a terabyte inside a checkpoint"),
    *("hub as decoder", "one hub for both", "a shared constructor", "no decoder", "arguments of a network"),
    *("another KL", "many pseudo-inputs", "large inputs of a prior", "condition of many numbers", "many classes"),
    *("a flow of many numbers", "a flow of many pieces", "a constructor in a network"),
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_run_is_refused_and_touches_nothing_outside(name, place):
    HOSTILE[name](place / "run", place / "outside")
    before = contents(place / "outside")
    with pytest.raises((ValueError, OSError)) as caught:
        resume({"resume": str(place / "run"), "trainer.max_epochs": "4"})
    sentence = one_sentence(caught.value)
    assert "set HYDRA_FULL_ERROR" not in sentence
    assert not sentence.startswith(("[Errno", "RecursionError"))
    assert "_target_" not in sentence or "pandas" not in sentence
    assert not any(character in sentence for character in "\x1b\x07\u202e\n")
    assert contents(place / "outside") == before


@pytest.mark.parametrize("name", ["study elsewhere", "last checkpoint nowhere"])
def test_what_a_resumed_run_writes_stays_in_its_folder(name, place, monkeypatch):
    HOSTILE[name](place / "run", place / "outside")
    before, names = contents(place / "outside"), []
    read = checkpoint_io.read_checkpoint
    monkeypatch.setattr(
        checkpoint_io, "read_checkpoint", lambda path, *more: names.append(path.name) or read(path, *more)
    )
    resume({"resume": str(place / "run"), "trainer.max_epochs": "3"})
    assert names == ["best.ckpt"]  # last.ckpt was read once, when it was checked
    assert (place / "run" / "metrics.json").is_file()
    assert contents(place / "outside") == before
    assert sorted(path.name for path in place.iterdir()) == ["outside", "run"]


@pytest.mark.parametrize(
    ("edit", "answer"),
    [
        (lambda c: c["optimizer"].update(_target_="os.system"), "names os.system, which is not a class of vaelab"),
        (lambda c: c["callbacks"]["best"].update(_target_="subprocess.Popen"), "names subprocess.Popen"),
        (
            lambda c: c["network"].update(_target_="vaelab.figures.drawing_process.subprocess.Popen"),
            "cannot be imported|no class",
        ),
        (lambda c: c["network"].update(_target_="vaelab.whole_files.write_whole"), "which is not a class of vaelab"),
        (
            lambda c: c["callbacks"]["best"].update(dirpath="/tmp/elsewhere"),
            "dirpath .* must be a folder inside the run",
        ),
        (lambda c: c["logger"].update(save_dir=c["folder"] + "/../.."), "save_dir .* must be a folder inside the run"),
        (
            lambda c: c["model"].update(min_std="${oc.env:HOME}"),
            "model.min_std .* must be a finite number, but is .*HOME",
        ),
        (lambda c: c["network"].update(hidden=({"_target_": "torch.hub.load"},)), "hidden .* each a whole number"),
        (lambda c: c["callbacks"]["best"].update(filename="../../elsewhere"), "filename .* must be a plain name"),
        (lambda c: c["logger"].update(version="/tmp/elsewhere"), "version .* must be a plain name"),
    ],
    ids=range(10),
)
def test_a_strangers_config_runs_nothing(edit, answer, place):
    edited(lambda content, run, outside: edit(content["hyper_parameters"]))(place / "run", place)
    with pytest.raises(ValueError, match=answer):
        resume({"resume": str(place / "run"), "trainer.max_epochs": "3"})


def test_a_strangers_callbacks_remove_nothing(place):
    victim = place / "outside" / "victim.ckpt"
    state("kth_best_model_path", lambda run, outside: f"{run}/checkpoints/../../outside/victim.ckpt")(
        place / "run", place
    )
    with pytest.raises(ValueError, match=r"kth_best_model_path .* must be empty or a path inside the run's folder"):
        resume({"resume": str(place / "run"), "trainer.max_epochs": "3"})
    assert victim.is_file()


def test_a_resumed_run_keeps_its_checkpoints_in_its_folder_and_a_new_one_need_not(tmp_path):
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere.ckpt"
    CheckpointIO(run).save_checkpoint({"a": 1}, elsewhere)
    resumed = CheckpointIO(run, run / "last.ckpt", {"a": 2})
    for path in (elsewhere, f"{run}/../elsewhere.ckpt", "elsewhere.ckpt"):
        with pytest.raises(
            ValueError, match=r"must keep its checkpoints in its own folder, but .*elsewhere.ckpt is outside"
        ):
            resumed.save_checkpoint({"a": 3}, path)
        with pytest.raises(ValueError, match="is outside"):
            resumed.remove_checkpoint(path)
    assert CheckpointIO().load_checkpoint(elsewhere) == {"a": 1}
    assert resumed.load_checkpoint(run / "last.ckpt") == {"a": 2}
    resumed.save_checkpoint({"a": 3}, run / "checkpoints" / ".." / "last.ckpt")
    assert resumed.load_checkpoint(run / "last.ckpt") == {"a": 3}
    resumed.remove_checkpoint(run / "last.ckpt")
    assert not (run / "last.ckpt").exists()


def test_the_checkpoint_that_was_checked_is_the_one_that_is_resumed(place, monkeypatch):
    """`last.ckpt` stays broken, as in a folder that is not ours to write."""
    run = place / "run"
    whole = (run / "checkpoints" / "last.ckpt").read_bytes()
    (run / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)
    (run / "checkpoints" / "previous.ckpt").write_bytes(whole)
    (run / "checkpoints" / "last.ckpt").write_bytes(b"broken")
    monkeypatch.setattr("vaelab.runs.find_checkpoint.second_name", lambda *names: None)
    checkpoint, content = newest_checkpoint(run)
    assert checkpoint == run / "checkpoints" / "previous.ckpt"
    assert content["position"]["should_stop"] is False


@pytest.mark.parametrize(
    ("argument", "is_shown"),
    [
        ("latent_dim=3", True),
        ("data.seed='5'", True),
        ("model=gaussian", True),
        ("network.hidden=[64,64]", True),
        ("data.path=/home/me/rows.csv", True),
        ("trainer.max_epochs=5", True),
        ("callbacks.pictures=null", True),
        ("optimizer.lr=1e-3", True),
        ("+latent_dim=3", False),
        ("~callbacks.pictures", False),
        ("prior._target_=os.system", False),
        ("hydra.searchpath=[/tmp]", False),
        ("--config-dir=/tmp", False),
        ("callbacks.last.dirpath=checkpoints", False),
        ("callbacks.last.dirpath=5", False),
        ("trainer.default_root_dir=x", False),
        ("logger.save_dir=x", False),
        ("data.root=x", False),
        ("data.mirrors=[x]", False),
        ("optimizer.lr=${oc.env:HOME}", False),
        ("latent_dim=3\n", False),
    ],
)
def test_the_command_of_a_run_is_shown_only_if_typing_it_does_no_harm(argument, is_shown, tmp_path):
    write_state(tmp_path, State("failed", arguments=("seed=1", argument), cwd=str(tmp_path)))
    said = without_checkpoint(tmp_path)
    assert ("start it again with cd " in said) is is_shown
    assert (f"{tmp_path / 'state.json'} holds the command that began it, so read it" in said) is not is_shown
    assert (argument in said) is (is_shown and "'" not in argument)


@pytest.mark.parametrize(
    "wrong", [{"cwd": [1]}, {"cwd": 3}, {"arguments": [[1]]}, {"arguments": 3}, {"overrides": [3]}]
)
def test_a_state_whose_texts_are_no_texts_is_none(wrong, tmp_path):
    (tmp_path / "state.json").write_text(json.dumps({"state": "failed", **wrong}))
    assert read_state(tmp_path) is None


@pytest.mark.parametrize("name", ["$HOME", "a${HOME}b", "$MASTER_ADDR", "x$HOME"])
def test_a_folder_that_names_a_variable_is_refused(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"resume must be a path without variables such as \$HOME, but is .*rename"):
        resume({"resume": str(tmp_path / name)})
    with pytest.raises(ValueError, match=r"hydra.run.dir must be a path without variables"):
        check_length(tmp_path / name, "hydra.run.dir")
    check_length(tmp_path / "weight $kg$, 5$", "hydra.run.dir")


def test_what_started_a_run_is_kept_only_if_it_is_small_and_flat(tmp_path):
    path = tmp_path / "environment.json"
    write_environment(tmp_path, ["train.py", "a b"], 1)
    (own,) = json.loads(path.read_text())
    deep: list = []
    for _ in range(150):
        deep = [deep]
    path.write_text(
        json.dumps([{**own, "threads": i} for i in range(150)] + [deep, {"a": deep}, {"a": {"b": deep}}, 3])
    )
    write_environment(tmp_path, ["train.py"], 7)
    kept = json.loads(path.read_text())
    assert [entry["threads"] for entry in kept] == [*range(51, 150), 7]
    assert kept[0] == {**own, "threads": 51}
    path.write_text("[" * 150 + "0," * 3000 + "0" + "]" * 150)
    write_environment(tmp_path, ["train.py"], 7)
    assert len(json.loads(path.read_text())) == 1


def test_only_the_search_that_runs_a_cell_says_where_its_study_lies():
    callbacks = {"prune": {"_target_": "vaelab.training.PruneTrial", "storage": "sqlite:////etc/a.db"}, "bar": None}
    assert with_own_study({"callbacks": callbacks}, None)["callbacks"] == {"prune": None, "bar": None}
    own = with_own_study({"callbacks": callbacks}, "sqlite:///mine.db")["callbacks"]["prune"]
    assert own == {**callbacks["prune"], "storage": "sqlite:///mine.db"}
    assert with_own_study({"callbacks": {"bar": None}}, None) == {"callbacks": {"bar": None}}


# What a run writes itself is accepted


def options():
    """Every option of every group, in lists that compose: each list has one of every group at most."""
    groups = {
        folder.name: sorted(file.stem for file in folder.glob("*.yaml"))
        for folder in CONF.iterdir()
        if folder.is_dir() and folder.name not in ("hydra", "experiment")
    }
    rows = max(map(len, groups.values()))
    together = [{group: names[row % len(names)] for group, names in groups.items()} for row in range(rows)]
    return [
        [f"{group}={name}" for group, name in (row | ALSO.get(f"prior={row['prior']}", {})).items()] for row in together
    ]


ALSO = {"prior=categorical": {"posterior": "categorical"}}  # it has as many classes as the posterior


EXPERIMENTS = [[f"experiment={file.stem}"] for file in sorted((CONF / "experiment").glob("*.yaml"))]


@pytest.mark.parametrize("chosen", options() + EXPERIMENTS, ids=lambda chosen: chosen[0])
def test_every_option_writes_a_config_that_can_be_resumed(chosen, tmp_path):
    written = recipe(compose_config(tmp_path, *chosen)) | {"x_shape": [3], "target_shape": [2, 2], "fingerprint": 7}
    written |= {"choices": dict(choice.split("=") for choice in chosen), "folder": str(tmp_path), "threads": 2}
    check_config(written, tmp_path)
    written["trainer"]["nonsense"] = 1
    with pytest.raises(ValueError, match=r"trainer.nonsense in the run's config is not a key of"):
        check_config(written, tmp_path)


def constructors():
    """vaelab's own that a config may name."""
    for package in ("families", "priors", "networks", "objectives", "data"):
        for found in vars(import_module(f"vaelab.{package}")).values():
            if isinstance(found, type) and found.__module__.startswith(f"vaelab.{package}"):
                yield found


@pytest.mark.parametrize("constructor", list(constructors()), ids=lambda constructor: constructor.__name__)
def test_every_constructors_annotations_say_a_kind(constructor):
    kinds = kinds_of(constructor)  # raises if an annotation cannot be resolved
    assert all(kind.phrase for kind in kinds.values())
    if issubclass(constructor, nn.Module) and constructor.__init__ is not nn.Module.__init__:
        assert kinds


@pytest.mark.parametrize(
    ("key", "value", "answer"),
    [
        ("callbacks.best.filename", "best-{epoch}-{val/elbo:.2f}", ""),
        ("callbacks.best.filename", "{epoch:99999}", "must be a plain name"),
        ("callbacks.best.dirpath", "RUN/checkpoints/deeper", ""),
        ("callbacks.best.dirpath", "RUN-2/checkpoints", "must be a folder inside the run's own"),
        ("callbacks.best.dirpath", "RUN/checkpoints/", "must be a folder inside the run's own"),
        ("callbacks.best.monitor", "../x", "must be the name of a curve"),
        ("logger.version", 3, ""),
        ("logger.name", "..", "must be a plain name"),
        ("trainer.max_time", "00:01:00:00", ""),
        ("trainer.max_time", {"hours": 3}, ""),
        ("trainer.precision", "bf16-mixed", ""),
        ("trainer.profiler", "simple", ""),
        ("trainer.callbacks", [], "must be null or null|must be null"),
        ("optimizer.betas", [0.5] * 3000, "must be a list of at most 1000 entries"),
        ("optimizer.lr", 10**30, "must be a finite number"),
        ("optimizer.lr", "1e-3", "must be a finite number"),
        ("optimizer.fused", 1, "must be true or false"),
        ("seed", True, "must be a whole number"),
        ("data.seed", 1.5, "must be a whole number"),
        ("data.surface", "yes", "must be true or false"),
        ("model.min_std", None, "must be a finite number"),
    ],
)
def test_each_key_takes_its_kind_alone(key, value, answer, tmp_path):
    written = recipe(compose_config(tmp_path)) | {"x_shape": [3], "target_shape": [2], "choices": {}}
    *parents, last = key.split(".")
    node = written
    for parent in parents:
        node = node[parent]
    node[last] = value.replace("RUN", str(tmp_path)) if isinstance(value, str) else value
    if not answer:
        check_config(written, tmp_path)
        return
    with pytest.raises(ValueError, match=f"{re.escape(key)} in the run's config {answer}"):
        check_config(written, tmp_path)


def test_an_allowed_packages_constructor_gets_plain_values_of_any_kind(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text("class Bar:\n    def __init__(self, **more): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    written = recipe(compose_config(tmp_path)) | {"x_shape": [3], "target_shape": [2], "choices": {}}
    written["callbacks"]["bar"] = {"_target_": "theirs.Bar", "a": [{"b": 1.5, "c": None}], "d": "any text / at all"}
    check_config(written, tmp_path, ("theirs",))
    with pytest.raises(ValueError, match=r"names theirs.Bar, which is not a class of vaelab"):
        check_config(written, tmp_path)
    written["callbacks"]["bar"]["a"] = [{"_target_": "os.getcwd"}]
    with pytest.raises(ValueError, match=r"names os.getcwd, which is not a class of vaelab or theirs"):
        check_config(written, tmp_path, ("theirs",))
    written["callbacks"]["bar"]["a"] = "${oc.env:HOME}"
    with pytest.raises(ValueError, match=r"must be text without"):
        check_config(written, tmp_path, ("theirs",))


def test_allowing_torch_admits_its_optimisers_and_nothing_that_writes(tmp_path):
    written = recipe(compose_config(tmp_path)) | {"x_shape": [3], "target_shape": [2], "choices": {}}
    optimizer = {"_target_": "torch.optim.Rprop", "_partial_": True, "etas": [0.4, 1.3]}
    check_config(written | {"optimizer": optimizer}, tmp_path, ("torch",))
    with pytest.raises(ValueError, match=r"torch.optim.Rprop, which is not a class of vaelab, so it is not called"):
        check_config(written | {"optimizer": optimizer}, tmp_path)
    aliases = {
        "callbacks": {"x": {"_target_": "torch.utils.data.DataLoader", "dataset": [1]}},
        "logger": {"_target_": "lightning.pytorch.loggers.tensorboard.TensorBoardLogger", "save_dir": "/etc"},
    }
    for group, node in aliases.items():
        with pytest.raises(ValueError, match=rf"{group}.* in the run's config must not be "):
            check_config(written | {group: node}, tmp_path, ("torch", "lightning", "optuna", "vaelab"))


def test_a_folders_own_name_may_have_marks_that_a_path_inside_may_not():
    folder = Path("/runs/a={b: 1},~c,$d")
    assert is_inside(f"{folder}/checkpoints", folder)
    assert is_inside(str(folder), folder)
    for inner in ("/{epoch}", "/$HOME", "/~", "/../x", "//x", "-2"):
        assert not is_inside(f"{folder}{inner}", folder)


# Nothing is fetched, and nothing is larger than the machine


def test_a_loaded_run_fetches_nothing(good, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: pytest.fail("something reached for the network"))
    shutil.copytree(good, tmp_path / "run")
    HOSTILE["mirrors"](tmp_path / "run", tmp_path)
    run = vaelab.load_run(tmp_path / "run")
    assert run.vae.sample(2).shape == (2, 1)
    data = run.datamodule()
    assert (data.root, data.mirrors) == (tmp_path / "cache" / "vaelab" / "mnist", vaelab.data.download.MNIST.mirrors)
    with pytest.raises(FileNotFoundError, match="does not hold MNIST, and a loaded run downloads nothing; get"):
        run.ready_datamodule({})
    assert not (tmp_path / "cache").exists()


def test_downloaded_data_are_taken_from_the_cache(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shutil.copytree(small_mnist, tmp_path / "vaelab" / "mnist")
    found = local_data({"_target_": "vaelab.data.MNIST", "root": None, "mirrors": ["http://192.0.2.1/"]})
    assert found == {"_target_": "vaelab.data.MNIST", "root": str(tmp_path / "vaelab" / "mnist")}
    check_at_hand(found)
    mine = {"_target_": "vaelab.data.MNIST", "root": str(small_mnist)}
    assert local_data(mine) == mine


def test_data_are_read_from_no_device(tmp_path):
    os.mkfifo(tmp_path / "rows.npy")
    for named, kind in (("/dev/zero", "a device"), (str(tmp_path / "rows.npy"), "a pipe")):
        with pytest.raises(ValueError, match=f"data.path={named} must be a file or a folder, but is {kind}"):
            local_data({"_target_": "vaelab.data.Array", "path": named})


@pytest.mark.parametrize(("key", "count"), [("train_size", 1), ("test_size", 1), ("samples", 1), ("samples", 0)])
def test_sizes_are_compared_with_the_machines_memory(key, count):
    written = {
        "data": {"train_size": 50, "test_size": 9, "batch_size": 10**15},
        "objective": {"samples": 2},
        "network": {"hidden": [3, 700]},
        "x_shape": [5],
        "target_shape": [2, 3],
        "latent_dim": 4,
    }
    group = "objective" if key == "samples" else "data"
    # 50 rows of 700 units in 4 bytes each are decoded per draw; data of 11 numbers are held three times.
    most = memory() // (4 * 50 * 700) if key == "samples" else memory() // (4 * 3 * 11)
    written[group][key] = most + count
    asked = f"{most + 1:,} draws of z" if key == "samples" else f"data.{key}={most + 1}"
    if count:
        with pytest.raises(ValueError, match=rf"{asked}.* needs at least .* GB of memory"):
            check_sizes(written)
    else:
        check_sizes(written)


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ({"data": {"batch_size": 2, "eval_batch_size": 7}}, 7 * 6),
        (
            {
                "data": {"batch_size": 2, "eval_batch_size": 7, "val_size": 3, "test_size": 4},
                "network": {"hidden": [100]},
            },
            4 * 100,
        ),
        ({"data": {"batch_size": 8, "eval_batch_size": 7}}, 8 * 6),
        ({"data": {"batch_size": 10**15, "eval_batch_size": 10**15}, "train_size": 9}, 9 * 6),
        ({"latent_dim": 40, "posterior": {"_target_": "vaelab.families.FullGaussian"}}, 2 * 40**2),
        ({"latent_dim": 40, "posterior": {"_target_": "vaelab.families.DiagonalGaussian"}}, 2 * 40),
        ({"model": {"_target_": "vaelab.families.FullGaussian"}}, 2 * 5**2),
        ({"network": {"decoder": {"channels": [3, 70]}}, "target_shape": [3, 8, 6]}, 2 * 70 * 4 * 3),
        ({"objective": {"groups": 7}}, 2 * 7 * 6),
        ({"data": {"batch_size": 50}, "objective": {"batch_size": 30}}, 50 * 30),
        ({"data": {"batch_size": 20}, "objective": {"batch_size": 10**12}}, 20 * 20),
        ({"model": {"_target_": "vaelab.families.LowRankGaussian", "rank": 8}}, 2 * 8 * 5),
        ({"model": {"_target_": "vaelab.families.Columns", "categories": [0, 40, 0, 2, 0]}}, 2 * 42),
        ({"posterior": {"_target_": "vaelab.families.GaussianMixture", "components": 6}}, 2 * 6 * 24),
        ({"posterior": {"_target_": "vaelab.families.OneHotCategorical", "categories": 10}}, 2 * 40),
        ({"posterior": {"_target_": "vaelab.families.TwoLayers", "hidden": [90]}}, 2 * 90),
        ({"prior": {"_target_": "vaelab.priors.VampPrior", "components": 50}}, 2 * 50 * 4),
        ({"prior": {"_target_": "vaelab.priors.FlowPrior", "kind": "spline", "bins": 60}}, 2 * 60 * 4),
        ({"prior": {"_target_": "vaelab.priors.FlowPrior", "kind": "affine", "bins": 60}}, 2 * 6),
    ],
)
def test_the_largest_batch_and_matrix_are_compared_with_the_memory(change, needed, monkeypatch):
    shapes = {"x_shape": [1], "target_shape": [5], "latent_dim": 4}
    written = {"data": {"batch_size": 2}, "objective": {}, "network": {}, **shapes, **change}
    monkeypatch.setattr(sizes, "memory", lambda: 4 * needed)
    check_sizes(written)
    monkeypatch.setattr(sizes, "memory", lambda: 4 * needed - 1)
    with pytest.raises(ValueError, match=r" draws? of z for each row, needs at least"):
        check_sizes(written)


def test_weights_are_compared_before_a_model_is_made(good, tmp_path, monkeypatch):
    shutil.copytree(good, tmp_path / "run")
    config("network.encoder.hidden", [10**7, 10**7])(tmp_path / "run", tmp_path)
    largest = []
    empty = torch.empty

    def noted(*size, **options):
        made = empty(*size, **options)
        largest.append(0 if made.is_meta else made.numel())
        return made

    monkeypatch.setattr(torch, "empty", noted)
    with pytest.raises(ValueError, match="weights that do not fit its own config"):
        vaelab.load_run(tmp_path / "run")
    assert max(largest) < 10**6


# The folder itself


def test_a_folder_of_its_own_files_is_accepted(good):
    check_own(good)  # last.ckpt and previous.ckpt may be one file
    names = [path.name for path in (good / "checkpoints").iterdir() if path.stat().st_nlink > 1]
    assert set(names) <= {"last.ckpt", "previous.ckpt"}


def test_a_lock_empties_no_file_elsewhere(tmp_path):
    (tmp_path / "victim").write_text("mine")
    for name, make in (("hard", Path.hardlink_to), ("soft", Path.symlink_to)):
        (tmp_path / name).mkdir()
        make(tmp_path / name / ".lock", tmp_path / "victim")
        with pytest.raises(ValueError, match=r".lock must be a file of only this folder"), locked(tmp_path / name):
            pass
        assert not in_use(tmp_path / name)
    assert (tmp_path / "victim").read_text() == "mine"


def test_what_is_printed_controls_no_terminal():
    assert one_sentence(ValueError("a\x1b[2Jb\nc\u202ed")) == "a\\x1b[2Jb c\\u202ed"
    assert len(one_sentence(ValueError("x" * 10**6))) == 3000


def test_the_lowest_versions_are_those_of_the_package():
    def versions(text, mark):
        return dict(re.findall(rf'^\s*"?([\w-]+){mark}([\d.]+)', text, re.M))

    dependencies = (ROOT / "pyproject.toml").read_text().split("dependencies = [")[1].split("\n]")[0]
    allowed, lowest = versions(dependencies, ">="), versions((ROOT / "tests" / "lowest.txt").read_text(), "==")
    assert allowed.keys() == lowest.keys()
    for name, version in allowed.items():
        assert (lowest[name] + ".").startswith(version + "."), name


@pytest.mark.parametrize("keys", [("network.hidden=[9,4]",), ("posterior=flow", "posterior.hidden=[5]", "prior=vamp")])
def test_the_weights_of_a_new_model_are_compared_with_the_memory(keys, tmp_path, monkeypatch):
    """A weight of 4 bytes has a gradient and two means of Adam. Counting them draws no random number."""
    cfg = compose_config(tmp_path, *TINY, *keys)
    with pytest.raises(ValueError, match=r"prior\.transforms must be at most 100, but is 101; 3 are usual"):
        build(compose_config(tmp_path, *TINY, "prior=flow", "prior.transforms=101"))
    needed = 16 * sum(weight.numel() for weight in build(cfg)[0].vae.parameters())
    config = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [*sizes.PARTS, "latent_dim"]), resolve=True)
    config |= {"x_shape": [2], "target_shape": [1]}
    state = torch.get_rng_state()
    monkeypatch.setattr(sizes, "memory", lambda: needed)
    sizes.check_weights(config)
    monkeypatch.setattr(sizes, "memory", lambda: needed - 1)
    with pytest.raises(ValueError, match=r"training the model, whose largest weight is .* needs at least .* of memory"):
        sizes.check_weights(config)
    assert torch.equal(state, torch.get_rng_state())
