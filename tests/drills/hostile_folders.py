"""Run folders as an attacker would make them: name -> what is done to a copy of a good run.

Each function gets the copy and a folder of victims outside it. None of them may change a victim, whatever is done with
the copy.
"""

import io
import json
import os
import pickle
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

Change = Callable[[Path, Path], object]
HUGE = 10**9
FAMILY = "vaelab.families"
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e"
CHECKPOINTS = ("best", "last", "previous")
DEEP = 100_000


def victims(outside: Path) -> None:
    """What lies beside the runs and must stay as it is."""
    outside.mkdir()
    for name in ("victim.json", "victim.log", "victim.png", "victim.ckpt", "victim.csv"):
        (outside / name).write_text("[1, 2, 3]\n")
    (outside / "folder").mkdir()
    for name in ("latents.png", "last.ckpt", "best.ckpt", "00003"):
        (outside / "folder" / name).write_text("mine")


def edited(change: Callable[[dict, Path, Path], object]) -> Change:
    """Every checkpoint's whole content is changed."""

    def apply(run: Path, outside: Path) -> None:
        for name in CHECKPOINTS:
            path = run / "checkpoints" / f"{name}.ckpt"
            content = torch.load(path, weights_only=True)
            change(content, run, outside)
            path.unlink()
            torch.save(content, path)

    return apply


def config(key: str, value: Any) -> Change:
    """A key of the config, such as `network.hidden`, is set; a function gets (run, outside)."""

    def change(content: dict, run: Path, outside: Path) -> None:
        *parents, last = key.split(".")
        node = content["hyper_parameters"]
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value(run, outside) if callable(value) else value

    return edited(change)


def state(key: str, value: Any) -> Change:
    """A key of the ModelCheckpoint's state is set."""

    def change(content: dict, run: Path, outside: Path) -> None:
        found = next(inner for name, inner in content["callbacks"].items() if name.startswith("ModelCheckpoint"))
        found[key] = value(run, outside) if callable(value) else value

    return edited(change)


def part(key: str, value: Any) -> Change:
    """A key of the checkpoint beside its config is set."""

    def change(content: dict, run: Path, outside: Path) -> None:
        *parents, last = key.split("|")
        node: Any = content
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value(run, outside) if callable(value) else value

    return edited(change)


def weight(make: Callable[[torch.Tensor], Any]) -> Change:
    """The first weight is replaced."""

    def change(content: dict, run: Path, outside: Path) -> None:
        name = next(iter(content["state_dict"]))
        content["state_dict"][name] = make(content["state_dict"][name])

    return edited(change)


def node(key: str, **values: Any) -> Change:
    """An object of the config is replaced by another."""
    return config(key, {"_target_" if name == "target" else name: value for name, value in values.items()})


def gone(path: Path) -> Path:
    """Removes an entry by name."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    return path


def gaussian(shape: list[int]) -> dict[str, Any]:
    """The config of a diagonal Gaussian."""
    return {"_target_": f"{FAMILY}.DiagonalGaussian", "event_shape": shape}


def mixture(**values: Any) -> Change:
    """A mixture of Gaussians as the posterior."""
    return node("posterior", target=f"{FAMILY}.GaussianMixture", event_shape=[3], kl="monte_carlo", **values)


def mixture_prior(**values: Any) -> Change:
    """A mixture of Gaussians as the prior."""
    return node("prior", target="vaelab.priors.MixturePrior", family=gaussian([3]), kl="monte_carlo", **values)


def conv(**values: Any) -> Change:
    """Convolutions as encoder and decoder, for images of 8 x 8 pixels."""

    def change(content: dict, run: Path, outside: Path) -> None:
        hyper = content["hyper_parameters"]
        hyper |= {"x_shape": [8, 8], "target_shape": [8, 8]}
        hyper["network"] = {
            part: {"_target_": f"vaelab.networks.Conv{part.title()}", "_partial_": True, "hidden": [], **values}
            for part in ("encoder", "decoder")
        }

    return edited(change)


def events(run: Path) -> Path:
    return min(run.glob("events.out.tfevents.*"))


def link(name: str, to: str) -> Change:
    return lambda run, outside: gone(events(run) if name == "events" else run / name).symlink_to(
        outside / to if to[0] != "/" else to
    )


def hard_link(name: str, to: str = "victim.json") -> Change:
    return lambda run, outside: gone(events(run) if name == "events" else run / name).hardlink_to(outside / to)


def pipe(name: str) -> Change:
    return lambda run, outside: os.mkfifo(gone(events(run) if name == "events" else run / name))


def folder(name: str) -> Change:
    return lambda run, outside: gone(run / name).mkdir()


def text(name: str, contents: str | bytes) -> Change:
    raw = contents.encode() if isinstance(contents, str) else contents
    return lambda run, outside: gone(run / name).write_bytes(raw)


def listening(run: Path, outside: Path) -> None:
    """A socket in place of a file. Its path may be too long, so it is made from inside the folder."""
    here = os.getcwd()
    gone(run / "state.json")
    os.chdir(run)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind("state.json")
    finally:
        os.chdir(here)


def sparse(name: str, size: int) -> Change:
    def change(run: Path, outside: Path) -> None:
        with gone(run / name).open("wb") as file:
            file.truncate(size)

    return change


def archived(make: Callable[[], bytes]) -> Change:
    """Checkpoints with the attacker's own pickle."""

    def change(run: Path, outside: Path) -> None:
        for name in CHECKPOINTS:
            with zipfile.ZipFile(gone(run / "checkpoints" / f"{name}.ckpt"), "w") as archive:
                archive.writestr("archive/data.pkl", make())
                archive.writestr("archive/version", "3\n")
                archive.writestr("archive/byteorder", "little")

    return change


def zipped(change_archive: Callable[[Path, bytes], object]) -> Change:
    """Checkpoints whose archive is rebuilt from the good one's bytes."""

    def change(run: Path, outside: Path) -> None:
        for name in CHECKPOINTS:
            path = run / "checkpoints" / f"{name}.ckpt"
            whole = path.read_bytes()
            gone(path)
            change_archive(path, whole)

    return change


def compressed(path: Path, whole: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1 << 28))


def crowded(path: Path, whole: bytes) -> None:
    path.write_bytes(_crowd())


@cache
def _crowd() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index in range(150_000):
            archive.writestr(zipfile.ZipInfo(f"archive/data/{index}"), b"")
    return file.getvalue()


def sparse_archive(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    with path.open("r+b") as file:  # the end of the archive, a terabyte away from its beginning
        file.truncate(2**40)
        file.seek(0, 2)
        file.write(whole[-22:])


def lying(path: Path, whole: bytes) -> None:
    """A list of parts that declares another place, and is larger than the file."""
    path.write_bytes(whole[:-22] + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0))


def nested(levels: int) -> bytes:
    return b"\x80\x02" + b"]" * levels + b"a" * (levels - 1) + b"."


def laughs() -> bytes:
    """A list of ten lists of ten lists …: 10^30 entries in a kilobyte."""
    inner: Any = ["ha"]
    for _ in range(30):
        inner = [inner] * 10
    return pickle.dumps({"hyper_parameters": {"x_shape": inner}, "state_dict": {}}, 2)


def called(module: str, name: str, arguments: tuple) -> bytes:
    body = pickle.dumps(arguments, 2)[2:-1]
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + body + b"R."


def itself() -> bytes:
    inner: list = []
    inner.append(inner)
    return pickle.dumps({"hyper_parameters": {"x_shape": inner}, "state_dict": {}}, 2)


def long_number() -> bytes:
    return pickle.dumps({"hyper_parameters": {"x_shape": [10**100_000]}, "state_dict": {}}, 2)


def outside_args(run: Path, outside: Path) -> list:
    return [str(outside / "args"), "owned"]


def logger_elsewhere(run: Path, outside: Path) -> dict:
    return {"_target_": "lightning.pytorch.loggers.CSVLogger", "save_dir": str(outside)}


def prune(storage: Any) -> Change:
    def value(run: Path, outside: Path) -> dict:
        return {
            "_target_": "vaelab.training.PruneTrial",
            "storage": storage(run, outside),
            "trial": 0,
            "metric": "val/elbo",
            "pruner": {"_target_": "optuna.pruners.MedianPruner"},
        }

    return config("callbacks.prune", value)


def nan_weights(content: dict, run: Path, outside: Path) -> None:
    for value in content["state_dict"].values():
        value.fill_(float("nan"))


def nan_config(content: dict, run: Path, outside: Path) -> None:
    for group in ("model", "posterior", "optimizer", "objective"):
        for key, value in content["hyper_parameters"][group].items():
            if type(value) is float:
                content["hyper_parameters"][group][key] = float("nan")


def wrong_types(content: dict, run: Path, outside: Path) -> None:
    hyper = content["hyper_parameters"]
    for group in hyper:
        hyper[group] = [hyper[group]] if not isinstance(hyper[group], dict) else str(hyper[group])


def best_moved(content: dict, run: Path, outside: Path) -> None:
    """A checkpoint that would be removed once there is a better one."""
    found = next(inner for name, inner in content["callbacks"].items() if name.startswith("ModelCheckpoint"))
    victim = str(outside / "victim.ckpt")
    found.update(best_k_models={victim: torch.tensor(-1e9)}, kth_best_model_path=victim, kth_value=torch.tensor(-1e9))


def file_name_from_metrics(content: dict, run: Path, outside: Path) -> None:
    """A checkpoint that would be named by what a curve is said to be."""
    content["hyper_parameters"]["callbacks"]["best"].update(filename="{x}", auto_insert_metric_name=False)
    if "position" in content:
        content["position"]["metrics"]["x"] = str(outside / "victim")


def file_name_from_counter(content: dict, run: Path, outside: Path) -> None:
    """A checkpoint that would be named by the number of its epoch."""
    content["hyper_parameters"]["callbacks"]["best"].update(filename="{epoch}", auto_insert_metric_name=False)
    progress = content.get("loops", {}).get("fit_loop", {}).get("epoch_progress", {})
    for counts in progress.values():
        counts["processed"] = str(outside / "victim")


def hostile_labels(run: Path, outside: Path) -> None:
    for path in run.glob("*.json"):
        path.write_text(json.dumps({ESCAPE: ESCAPE, "state": ESCAPE, "reason": ESCAPE}))


def deep_folders(run: Path, outside: Path) -> None:
    here = os.getcwd()
    os.chdir(run)
    try:
        for _ in range(300):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)


def command_of_harm(run: Path, outside: Path) -> None:
    """A run that ended before training began, by a command that would run code if someone typed it."""
    shutil.rmtree(run / "checkpoints")
    gone(run / "metrics.json")
    arguments = [
        "latent_dim=3",
        "+callbacks.x._target_=pandas.read_pickle",
        f"+callbacks.x.filepath_or_buffer={outside}",
    ]
    (run / "state.json").write_text(json.dumps({"state": "failed", "arguments": arguments, "cwd": str(outside)}))


BEST, LAST = "callbacks.best", "callbacks.last"
MODEL_CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
LINKS = {
    "hparams.yaml": "profile",  # dangling: following it would make a file
    "state.json": "victim.json",
    "metrics.json": "victim.json",
    "data.json": "victim.json",
    "environment.json": "victim.json",
    "evaluation.json": "profile",
    "train.log": "victim.log",
    ".lock": "victim.log",
    "checkpoints": "folder",
    "figures": "folder",
    "figures/latents.png": "victim.png",
    "checkpoints/last.ckpt": "victim.ckpt",
    "checkpoints/best.ckpt": "victim.ckpt",
    "checkpoints/previous.ckpt": "victim.ckpt",
    "checkpoints/bad_batch.pt": "profile",
    "events": "victim.log",
    "00003": "folder",
    "projector_config.pbtxt": "profile",
    ".hydra": "folder",
}
HARD = ("state.json", "train.log", ".lock", "hparams.yaml", "environment.json", "projector_config.pbtxt", "events")
PIPES = ("state.json", "metrics.json", "evaluation.json", "data.json", "train.log", ".lock", "events", "hparams.yaml")

HOSTILE: dict[str, Change] = {
    **{f"link at {name}": link(name, to) for name, to in LINKS.items()},
    **{f"hard link at {name}": hard_link(name) for name in HARD},
    **{f"hard link at {name}.ckpt": hard_link(f"checkpoints/{name}.ckpt", "victim.ckpt") for name in CHECKPOINTS},
    **{f"pipe at {name}": pipe(name) for name in PIPES},
    **{f"pipe at {name}.ckpt": pipe(f"checkpoints/{name}.ckpt") for name in CHECKPOINTS},
    **{f"folder at {name}": folder(name) for name in ("state.json", "metrics.json", "hparams.yaml", "train.log")},
    **{f"folder at {name}.ckpt": folder(f"checkpoints/{name}.ckpt") for name in CHECKPOINTS},
    "device at metrics.json": link("metrics.json", "/dev/zero"),
    "device at best.ckpt": link("checkpoints/best.ckpt", "/dev/zero"),
    "device at evaluation.json": link("evaluation.json", "/dev/zero"),
    "socket at state.json": listening,
    **{f"folder at {name}": folder(name) for name in (".x.part", "evaluation_x.json", "figures/.y.part")},
    "deep folders": deep_folders,
    "a command of harm": command_of_harm,
    "a command that is no text": text("state.json", '{"state": "failed", "arguments": [[1]], "cwd": [[1]]}'),
    "a working folder that is a number": text("state.json", '{"state": "failed", "arguments": 3, "cwd": 3}'),
    "deep environment": text("environment.json", "[" * 150 + "0," * 300_000 + "0" + "]" * 150),
    "link to itself": lambda run, outside: (run / "figures" / "loop").symlink_to(run),
    # Constructors
    "positional arguments": config(f"{BEST}._args_", outside_args),
    "positional arguments of data": config("data._args_", [100, 10]),
    "convert": config("network._convert_", "all"),
    "recursive": config(f"{BEST}._recursive_", False),
    "mode": config("trainer._mode_", "call"),
    "partial trainer": config("trainer._partial_", True),
    "partial callback": config(f"{BEST}._partial_", True),
    "partial data": config("data._partial_", True),
    "trainer as callback": node("callbacks.extra", target="lightning.pytorch.Trainer", default_root_dir="/tmp"),
    "command as optimizer": node("optimizer", target="os.system", command="touch owned", _partial_=True),
    "path through vaelab": node("prior", target="vaelab.runs.trust.Path"),
    "modules through torch": node("optimizer", target="torch.optim.sys.modules", _partial_=True),
    "partial of partial": node("scheduler", target="functools.partial", _partial_=True),
    "attribute of a class": node("model", target="vaelab.families.DiagonalGaussian.register_forward_hook"),
    "drawing process as data": node("data", target="vaelab.figures.drawing_process.DrawingProcess"),
    "load_run as prior": node("prior", target="vaelab.load_run", folder_or_checkpoint="."),
    "hub as network": node("network", target="torch.hub.load", repo_or_dir="evil/repo", model="x", _partial_=True),
    "a constructor inside a list": config("network.hidden", [{"_target_": "torch.hub.load"}]),
    "a constructor as a value": config("network.activation", {"_target_": "os.getcwd"}),
    "a constructor in a network": config("network.decoder.activation", {"_target_": "os.getcwd"}),
    "hub as decoder": node("network.decoder", target="torch.hub.load", repo_or_dir="evil/repo", model="x"),
    "one hub for both": config("network._target_", "torch.hub.load"),
    "a shared constructor": config("network.owned", {"_target_": "os.system", "command": "touch owned"}),
    "no decoder": config("network.decoder", None),
    "arguments of a network": config("network.encoder._args_", outside_args),
    "another kind of family": node("posterior", target="vaelab.networks.MLP", input_shape=[2], output_size=3),
    # Paths
    "checkpoints elsewhere": config(f"{BEST}.dirpath", lambda run, outside: str(outside)),
    "checkpoints in the folder above": config(f"{BEST}.dirpath", lambda run, outside: f"{run}/../outside"),
    "checkpoints at a relative path": config(f"{BEST}.dirpath", "checkpoints"),
    "checkpoints by a format": config(f"{BEST}.dirpath", lambda run, outside: f"{run}/{{epoch}}"),
    "checkpoints by an interpolation": config(f"{BEST}.dirpath", "${oc.env:HOME}"),
    "checkpoints at home": config(f"{BEST}.dirpath", "~/checkpoints"),
    "checkpoints at an address": config(f"{BEST}.dirpath", "memory://owned"),
    "last checkpoint elsewhere": config(f"{LAST}.dirpath", lambda run, outside: str(outside)),
    "last checkpoint nowhere": config(f"{LAST}.dirpath", None),
    "pictures elsewhere": config("callbacks.pictures.dirpath", lambda run, outside: str(outside / "folder")),
    "file name with a path": config(f"{BEST}.filename", "../../outside/owned"),
    "file name with a format": config(f"{BEST}.filename", "{/tmp/owned}"),
    "file name with a wide format": config(f"{BEST}.filename", "{epoch:>1000000000}"),
    "file name with an attribute": config(f"{BEST}.filename", "{epoch.__class__}"),
    "last name with a path": config(f"{LAST}.filename", "../../outside/last"),
    "root elsewhere": config("trainer.default_root_dir", lambda run, outside: str(outside)),
    "profiler": config("trainer.profiler", lambda run, outside: str(outside / "profile")),
    "profiler object": node("trainer.profiler", target="lightning.pytorch.profilers.SimpleProfiler", dirpath="/tmp"),
    "plugin": config("trainer.plugins", [{"_target_": "lightning.pytorch.plugins.io.TorchCheckpointIO"}]),
    "strategy": config("trainer.strategy", {"_target_": "lightning.pytorch.strategies.SingleDeviceStrategy"}),
    "many processes": config("trainer.devices", 100_000),
    "many machines": config("trainer.num_nodes", 64),
    "log elsewhere": config("logger.save_dir", lambda run, outside: str(outside)),
    "log at an address": config("logger.save_dir", "http://192.0.2.1/logs"),
    "log version with a path": config("logger.version", lambda run, outside: str(outside / "version")),
    "log name with a path": config("logger.name", "../outside/name"),
    "log at a variable": config("logger.sub_dir", "$HOME/owned"),
    "another logger": config("logger", logger_elsewhere),
    "linked last checkpoint": config(f"{BEST}.save_last", "link"),
    "study elsewhere": prune(lambda run, outside: f"sqlite:///{outside}/study.db"),
    "study in the folder above": prune(lambda run, outside: f"sqlite:///{run.parent}/study.db"),
    "study on a server": prune(lambda run, outside: "postgresql://192.0.2.1/study"),
    "mirrors": node("data", target="vaelab.data.MNIST", root=None, mirrors=["http://192.0.2.1/mnist/"]),
    "data from a device": node("data", target="vaelab.data.Array", path="/dev/zero"),
    "data at an address": node("data", target="vaelab.data.Array", path="http://192.0.2.1/rows.npy"),
    "unknown key": config("trainer.owned", 1),
    "unknown key at the top": config("owned", 1),
    "own folder elsewhere": config("folder", "/"),
    # States
    "best checkpoint elsewhere": state("best_model_path", lambda run, outside: str(outside / "victim.ckpt")),
    "worst checkpoint elsewhere": edited(best_moved),
    "last checkpoint of a state": state("last_model_path", "../outside/victim.ckpt"),
    "file name from a metric": edited(file_name_from_metrics),
    "file name from a counter": edited(file_name_from_counter),
    "folder of a state": state("dirpath", lambda run, outside: str(outside)),
    "unknown key of a state": state("owned", 1),
    "unknown part": part("owned", {"a": 1}),
    "curves elsewhere": part("position|curves", {"../outside/events.out.tfevents.1": 0}),
    "curves of no size": part("position|curves", {"events.out.tfevents.1": -5}),
    "no position": part("position", None),
    "random state of another shape": part("position|random", torch.zeros(3)),
    "counters of huge numbers": part("loops|fit_loop|epoch_progress", {"current": {"completed": 10**400}}),
    "counters before the beginning": part("loops|fit_loop|epoch_progress", {"current": {"completed": -HUGE}}),
    "loops of another type": part("loops", [1, 2]),
    "optimizer of another type": part("optimizer_states", ["x"]),
    "config of another type": part("hyper_parameters", [["x_shape", [2]]]),
    "weights of another type": part("state_dict", [1]),
    "version": part("pytorch-lightning_version", ESCAPE),
    # Sizes
    "wide network": config("network.encoder.hidden", [HUGE, HUGE]),
    "deep network": config("network.decoder.hidden", [1] * 100_000),
    "wide networks": config("network.hidden", [HUGE, HUGE]),
    "condition of many numbers": config("condition_shape", [2**40]),
    "many classes": config("condition_names", ["a"] * 100_000),
    "many pseudo-inputs": node("prior", target="vaelab.priors.VampPrior", components=HUGE, kl="monte_carlo"),
    "large inputs of a prior": node("prior", target="vaelab.priors.VampPrior", x_shape=[HUGE], components=3),
    "a flow of many numbers": node("posterior", target="vaelab.families.Flow", event_shape=[3], hidden=[HUGE] * 3),
    "a flow of many pieces": node("posterior", target="vaelab.families.Flow", event_shape=[3], transforms=HUGE),
    "a mixture of many": mixture(components=HUGE),
    "a mixture of no number": mixture(components=float("nan")),
    "many classes of a latent": node("posterior", target=f"{FAMILY}.OneHotCategorical", latent_dim=3, categories=HUGE),
    "many categorical latents": node("posterior", target=f"{FAMILY}.OneHotCategorical", latent_dim=HUGE, categories=3),
    "a wide layer between latents": node("posterior", target=f"{FAMILY}.TwoLayers", event_shape=[3], hidden=[HUGE] * 3),
    "an upper layer of many": node("posterior", target=f"{FAMILY}.TwoLayers", event_shape=[3], top=HUGE),
    "a prior of many components": mixture_prior(components=HUGE),
    "a prior of fewer than no components": mixture_prior(components=-HUGE),
    "a flow prior of many pieces": node("prior", target="vaelab.priors.FlowPrior", event_shape=[3], transforms=HUGE),
    "a flow prior of many bins": node(
        "prior", target="vaelab.priors.FlowPrior", event_shape=[3], kind="spline", bins=HUGE
    ),
    "a wide conditional prior": node(
        "prior", target="vaelab.priors.ConditionalPrior", hidden=[HUGE] * 3, family=gaussian([3])
    ),
    "a prior of a prior": node("prior", target="vaelab.priors.DiscretePrior", family={"_target_": "os.getcwd"}),
    "many grey levels": node("model", target=f"{FAMILY}.DiscretizedLogistic", levels=HUGE, components=HUGE),
    "many directions": node("model", target=f"{FAMILY}.LowRankGaussian", rank=HUGE),
    "many classes of data": node("model", target=f"{FAMILY}.Categorical", categories=HUGE),
    "many classes of a column": node(
        "model", target=f"{FAMILY}.Columns", kinds=["category"] * 2, categories=[HUGE] * 2
    ),
    "kinds of many columns": node("model", target=f"{FAMILY}.Columns", kinds=["real"] * 65_000),
    "freedom of no number": node("model", target=f"{FAMILY}.StudentT", df=float("nan")),
    "many residual blocks": conv(blocks=HUGE),
    "many channels": conv(channels=[HUGE] * 2),
    "many halvings": conv(channels=[1] * 1_000),
    "a kernel of many": conv(kernel=HUGE + 1),
    "many groups": node("objective", target="vaelab.objectives.PIWAE", samples=2, groups=10**13),
    "many pairs": node("objective", target="vaelab.objectives.BetaTC", batch_size=10**15),
    "a capacity of no number": config("objective.capacity", float("nan")),
    "a temperature below zero": config("objective.temperature", -1.0),
    "many cycles": config("objective.cycles", 10**15),
    "a gradient that is a command": config("objective.gradient", {"_target_": "os.getcwd"}),
    "another KL": config("posterior.kl", {"_target_": "os.getcwd"}),
    "many latents": config("latent_dim", 10**8),
    "large draws": config("posterior.event_shape", [10**8]),
    "shape of many dimensions": config("x_shape", [1] * 10_000),
    "shape of many numbers": config("target_shape", [2**40]),
    "many rows": config("data.train_size", 10**12),
    "many test rows": config("data.test_size", 10**12),
    "many draws": config("objective.samples", 10**13),
    "large batches": config("data.batch_size", 10**15),
    "many threads": config("threads", HUGE),
    "hundreds of digits": config("trainer.log_every_n_steps", 10**400),
    "digits in the network": config("network.encoder.hidden", [10**400]),
    "infinite numbers": config("optimizer.lr", float("inf")),
    "nothing but NaN": edited(nan_config),
    "weights of NaN": edited(nan_weights),
    "wrong types": edited(wrong_types),
    "none everywhere": edited(lambda content, run, outside: content["hyper_parameters"].update(model=None, data=None)),
    # Names
    "escape sequences in values": config("network.activation", ESCAPE),
    "escape sequences in classes": config("condition_names", [ESCAPE]),
    "escape sequences in a network": config("network.encoder.activation", ESCAPE),
    "escape sequences in the KL": config("kl", ESCAPE),
    "escape sequences in keys": config(f"network.{ESCAPE.replace('.', '')}", 1),
    "escape sequences in targets": node("prior", target=f"vaelab.{ESCAPE}"),
    "escape sequences in weights": edited(lambda c, run, outside: c["state_dict"].update({ESCAPE: torch.zeros(1)})),
    "escape sequences in file names": lambda run, outside: (run / f"{ESCAPE.replace('/', '')}.ckpt").write_text(""),
    "escape sequences in every table": hostile_labels,
    "long names": config("network." + "a" * 100_000, 1),
    # Tensors
    "weights that share memory": weight(lambda value: torch.zeros(1).expand(10**6, 10**6)),
    "sparse weights": weight(lambda value: value.to_sparse()),
    "weights on no device": weight(lambda value: value.to("meta")),
    "quantised weights": weight(lambda value: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8)),
    "weights of text": weight(lambda value: "weights"),
    "weights of another shape": weight(lambda value: torch.zeros(3, 3, 3)),
    "complex weights": weight(lambda value: value.to(torch.complex64)),
    "no weights": part("state_dict", {}),
    # Files
    "shared containers": archived(laughs),
    "containers in themselves": archived(itself),
    "deep containers": archived(partial(nested, DEEP)),
    "many containers": archived(lambda: b"\x80\x02(" + b"]" * 7_000_000 + b"l."),
    "a pickled command": archived(partial(called, "os", "system", ("touch owned",))),
    "a pickled allocation": archived(partial(called, "builtins", "bytearray", (10**11,))),
    "a pickled counter": archived(partial(called, "collections", "Counter", ({},))),
    "a long number": archived(long_number),
    "a compressed checkpoint": zipped(compressed),
    "a crowded checkpoint": zipped(crowded),
    "a terabyte of nothing": sparse("checkpoints/best.ckpt", 2**40),
    "a terabyte inside a checkpoint": zipped(sparse_archive),
    "a checkpoint that lies": zipped(lying),
    "a plain pickle": zipped(lambda path, whole: path.write_bytes(pickle.dumps({"state_dict": {}}))),
    "an empty checkpoint": zipped(lambda path, whole: path.write_bytes(b"")),
    "a gigabyte of metrics": sparse("metrics.json", 2**30),
    "a gigabyte of state": sparse("state.json", 2**30),
    "a gigabyte of evaluation": sparse("evaluation.json", 2**30),
    "a terabyte of events": lambda run, outside: sparse(events(run).name, 2**40)(run, outside),
    "deep metrics": text("metrics.json", "[" * DEEP),
    "deep state": text("state.json", '{"state":' * DEEP),
    "metrics of many digits": text("metrics.json", '{"val/elbo": ' + "9" * 4000 + "}"),
    "metrics of text": text("metrics.json", '{"val/elbo": "=cmd()", "test/elbo": null}'),
    "metrics of another type": text("metrics.json", "[1, 2]"),
    "metrics that are no text": text("metrics.json", b"\xff\xfe\x00"),
    "state of another type": text("state.json", '{"state": ["done"], "seconds": 1e999}'),
    "state of many digits": text("state.json", '{"state": "done", "seconds": ' + "9" * 4000 + "}"),
    "evaluation of the wrong length": text("evaluation.json", '{"kl_per_dimension": [1.0]}'),
    "evaluation of text": text("evaluation.json", '{"kl_per_dimension": ["a", "b", "c"]}'),
    "evaluation of NaN": text("evaluation.json", '{"kl_per_dimension": [NaN, NaN, NaN], "nll": NaN}'),
    "evaluation of another type": text("evaluation.json", "3"),
    "data of another type": text("data.json", '{"measure": [[]], "data": 3}'),
    "environment of many digits": text("environment.json", "[" + "9" * 5000 + "]"),
}


# What an archive hides, and what it holds more than once


def renamed(*names: str) -> Change:
    """Checkpoints whose pickle has other names, which torch would find too."""

    def change(run: Path, outside: Path) -> None:
        for name in CHECKPOINTS:
            with zipfile.ZipFile(gone(run / "checkpoints" / f"{name}.ckpt"), "w") as archive:
                for inner in names:
                    archive.writestr(f"archive/{inner}", called("builtins", "bytearray", (10**11,)))
                archive.writestr("archive/version", "3\n")

    return change


def one_storage(content: dict, run: Path, outside: Path) -> None:
    shared = torch.zeros(4_000)
    content["state_dict"].update({f"weight{index}": shared for index in range(2_000)})


def one_text(content: dict, run: Path, outside: Path) -> None:
    text = content["hyper_parameters"]["folder"] + "/" + "a" * 1_000_000
    content["callbacks"]["owned"] = [text] * 1_000


def pickle_first(path: Path, whole: bytes) -> None:
    path.write_bytes(called("builtins", "bytearray", (10**11,)) + whole)


HOSTILE |= {
    "a pickle in capitals": renamed("DATA.PKL"),
    "a pickle in capitals beside another": renamed("data.pkl", "DATA.PKL"),
    "a script of torch": renamed("data.pkl", "constants.pkl", "code/a.py"),
    "a bare pickle before an archive": zipped(pickle_first),
    "weights that are one": edited(one_storage),
    "a text that is met often": edited(one_text),
}
