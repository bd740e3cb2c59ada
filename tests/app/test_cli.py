"""`vaelab VERB RUN …`, on runs of every model, every kind of file, and what people get wrong."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

import vaelab
from helpers.idx_files import random_images, write_idx_images
from helpers.runner import SHORT, TINY, VERBS, compose_config, messages
from helpers.written import columns, is_picture
from vaelab import tables
from vaelab.app.cli import main
from vaelab.app.start import train
from vaelab.data import read_chunks

POINT_MODELS = ("gaussian", "gaussian_identity", "gaussian_isotropic", "gaussian_shared", "gaussian_full")
SURFACE = ("data=sine_surface", "data.noise_std=0.1", *TINY)


@pytest.fixture(scope="module")
def runs(small_mnist, tmp_path_factory):
    """name -> the folder of a run."""
    images = ("data=mnist", f"data.root={small_mnist}", "data.val_size=13", "latent_dim=3")
    commands = {name: (f"model={name}", *SURFACE) for name in POINT_MODELS}
    commands |= {
        "bernoulli": ("model=bernoulli", *images),
        "grey": ("model=gaussian_full", "posterior=full", *images),
        "sine": ("data=sine", *TINY, "latent_dim=1", "prior=learned_full"),
        "linear": (
            "model=gaussian_shared",
            "data=array",
            f"data.path={array_file(tmp_path_factory)}",
            "network.hidden=[]",
        ),
    }
    commands["linear"] += ("trainer.max_epochs=200", "optimizer.lr=0.03", "model.init_std=1")
    folders = {}
    for name, overrides in commands.items():
        folders[name] = tmp_path_factory.mktemp(name)
        train(compose_config(folders[name], *SHORT, *overrides))
    return folders


def array_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("array") / "rows.npy"
    np.save(path, np.random.default_rng(0).normal(size=(41, 4)))
    return path


def vaelab_command(*arguments, timeout=120):
    command = [Path(sys.executable).with_name("vaelab"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def rejected(capsys, *arguments):
    """The message of a command that fails."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    said = str(exit_.value.code) if isinstance(exit_.value.code, str) else capsys.readouterr().err.strip()
    assert exit_.value.code not in (0, None)
    assert said.startswith("error: ")
    assert "\n" not in said
    return said.removeprefix("error: ")


def test_every_verb_as_users_type_it(runs, tmp_path):
    verbs = [
        ("evaluate", runs["gaussian_full"], runs["bernoulli"], "--samples", "60"),
        ("encode", runs["grey"], "test", "-o", tmp_path / "z.npz", "--samples", "2"),
        ("reconstruct", runs["bernoulli"], "val", "-o", tmp_path / "r.png"),
        ("sample", runs["bernoulli"], "-n", "5", "-o", tmp_path / "s.png"),
        ("traverse", runs["gaussian"], "-o", tmp_path / "t.png"),
        ("sample", runs["gaussian"], "-n", "0", "-o", tmp_path / "none.png"),
        ("--help",),
    ]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda verb: vaelab_command(*verb), verbs))
    assert [process.returncode for process in done] == [0, 0, 0, 0, 0, 1, 0], [process.stderr for process in done]
    assert done[5].stderr == "error: -n must be a whole number of at least 1, but is 0\n"
    assert [process.stderr for process in done if process.returncode == 0] == [""] * 6
    assert "CANNOT be compared" in done[0].stdout
    assert all(f"\n    {verb} " in done[6].stdout for verb in VERBS)
    assert not (tmp_path / "none.png").exists()


# evaluate


@pytest.mark.parametrize("name", [*POINT_MODELS, "bernoulli", "grey", "sine", "linear"])
def test_evaluate_writes_its_numbers(name, runs, capsys):
    main(["evaluate", str(runs[name]), "--samples", "50"])
    report = json.loads((runs[name] / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert all(not isinstance(value, dict) for value in report.values())
    assert {"nll", "nll_stderr", "elbo", "kl", "log_likelihood", "iw_5", "iw_50", "ess", "active_units"} <= set(report)
    assert report["nll"] <= -report["elbo"] + 5 * report["elbo_stderr"]
    assert report["elbo"] == pytest.approx(report["log_likelihood"] - report["kl"])
    assert len(report["kl_per_dimension"]) == report["latent_dim"]
    assert ("regret" in report) == (name in (*POINT_MODELS, "sine"))
    assert ("bits_per_dim" in report) == (name in ("bernoulli", "grey"))
    assert ("exact_nll" in report) == (name == "linear")
    printed = capsys.readouterr().out
    assert f"{report['nll']:.3f} ± {report['nll_stderr']:.3f}" in printed
    assert ("log-probability" if name == "bernoulli" else "log-density") in printed
    assert report["examples"] == {"bernoulli": 20, "grey": 20, "linear": 4}.get(name, 11)


def test_the_estimate_reaches_the_exact_number_of_a_linear_decoder(runs):
    main(["evaluate", str(runs["linear"]), "--samples", "5000", "--split", "train"])
    report = json.loads((runs["linear"] / "evaluation_train.json").read_text())
    assert report["nll"] == pytest.approx(report["exact_nll"], abs=0.05)


def test_evaluate_repeats_itself_and_keeps_what_other_splits_and_checkpoints_gave(runs):
    run = runs["gaussian"]
    main(["evaluate", str(run), "--samples", "20"])
    first = (run / "evaluation.json").read_text()
    main(["evaluate", str(run), "--samples", "20", "--split", "val"])
    main(["evaluate", str(run / "checkpoints" / "last.ckpt"), "--samples", "20"])
    assert (run / "evaluation.json").read_text() == first
    assert json.loads((run / "evaluation_val.json").read_text())["split"] == "val"
    assert json.loads((run / "evaluation_last.json").read_text())["checkpoint"] == "last.ckpt"
    main(["evaluate", str(run), "--samples", "20"])
    assert (run / "evaluation.json").read_text() == first
    main(["evaluate", str(run), "--samples", "20", "--seed", "1"])
    assert (run / "evaluation.json").read_text() != first


def test_runs_on_the_same_data_compare_and_others_do_not(runs, capsys):
    main(["evaluate", str(runs["gaussian"]), str(runs["gaussian_full"]), "--samples", "10"])
    assert "CANNOT" not in capsys.readouterr().out
    main(["evaluate", str(runs["bernoulli"]), str(runs["grey"]), "--samples", "10"])
    printed = capsys.readouterr().out
    assert "CANNOT be compared by their scores, because they differ in measure: mass | density" in printed
    main(["evaluate", str(runs["gaussian"]), str(runs["sine"]), "--samples", "10"])
    assert "CANNOT be compared" in capsys.readouterr().out


def test_few_samples_end_in_a_warning(runs, capsys):
    main(["evaluate", str(runs["grey"]), "--samples", "3"])
    assert "warning: 3 samples per example are too few" in capsys.readouterr().out
    main(["evaluate", str(runs["grey"]), "--samples", "200"])
    assert "warning: log p̂ has not converged" in capsys.readouterr().out


def test_a_run_that_cannot_be_evaluated_does_not_lose_the_others(runs, tmp_path, capsys):
    fine, lost = tmp_path / "fine", tmp_path / "lost"
    np.save(tmp_path / "gone.npy", np.random.default_rng(0).normal(size=(30, 3)))
    train(compose_config(lost, *SHORT, "data=array", f"data.path={tmp_path / 'gone.npy'}"))
    (tmp_path / "gone.npy").rename(tmp_path / "moved.npy")
    shutil.copytree(runs["gaussian"], fine)
    (fine / "evaluation.json").unlink(missing_ok=True)
    with pytest.raises(SystemExit, match=r"the data of .*lost were not found .* set --data"):
        main(["evaluate", str(lost), str(fine), "--samples", "5"])
    assert "nll" in capsys.readouterr().out
    assert json.loads((fine / "evaluation.json").read_text())["samples"] == 5
    main(["evaluate", str(lost), "--samples", "5", "--data", f"path={tmp_path / 'moved.npy'}"])
    assert json.loads((lost / "evaluation.json").read_text())["examples"] == 3


def test_changed_data_do_not_replace_the_report(runs, tmp_path):
    copy = shutil.copytree(runs["gaussian"], tmp_path / "copy")
    main(["evaluate", str(copy), "--samples", "5"])
    first = (copy / "evaluation.json").read_text()
    main(["evaluate", str(copy), "--samples", "5", "--data", "noise_std=0.2", "--data", "seed=3"])
    assert (copy / "evaluation.json").read_text() == first
    assert json.loads((copy / "evaluation_changed.json").read_text())["overrides"] == "noise_std=0.2 seed=3"


@pytest.mark.parametrize("verb", ["evaluate", "encode", "compare"])
def test_a_full_standard_output_is_a_warning_if_the_file_is_whole(verb, runs, tmp_path, monkeypatch, caplog):
    copy, file = shutil.copytree(runs["gaussian"], tmp_path / "copy"), tmp_path / "z.npz"
    (copy / "evaluation.json").unlink(missing_ok=True)
    arguments, written = {
        "evaluate": (["--samples", "5"], copy / "evaluation.json"),
        "encode": (["test", "-o", str(file)], file),
        "compare": (["-o", str(tmp_path / "out")], tmp_path / "out" / "summary.md"),
    }[verb]
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        main([verb, str(copy), *arguments])
        monkeypatch.undo()
    assert written.is_file()
    assert "standard output cannot be written (No space left on device), but the results are in" in caplog.text
    assert str(written if verb != "compare" else written.parent) in caplog.text


def test_a_table_that_is_in_no_file_must_be_printed(runs, monkeypatch):
    full = open("/dev/full", "w")  # noqa: SIM115  # its end fails too
    monkeypatch.setattr("sys.stdout", full)
    with pytest.raises(SystemExit, match="no room left"):
        main(["compare", str(runs["gaussian"])])
    monkeypatch.undo()
    with pytest.raises(OSError, match="No space"):
        full.close()


def test_whoever_reads_the_table_may_stop_early(runs, tmp_path):
    copy = shutil.copytree(runs["gaussian"], tmp_path / "copy")
    (copy / "evaluation.json").unlink(missing_ok=True)
    command = f"'{Path(sys.executable).with_name('vaelab')}' evaluate '{copy}' --samples 5 | head -1"
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.run(command, shell=True, capture_output=True, text=True, env=environment, check=False)
    assert messages(process.stderr) == []
    assert (copy / "evaluation.json").is_file()


# encode and reconstruct


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("name", ["gaussian_full", "grey", "sine"])
def test_encode_writes_mean_std_and_draws(name, suffix, runs, tmp_path):
    file = tmp_path / f"z{suffix}"
    main(["encode", str(runs[name]), "test", "-o", str(file), "--samples", "2"])
    run = vaelab.load_run(runs[name])
    data = run.datamodule()
    data.prepare_data()
    data.setup()
    q = run.vae.encode(data.examples("test")[0])
    found = columns(file)
    p = q.event_shape[0]
    if suffix == ".npz":
        assert found["sample"].shape == (len(q.mean), 2, p)
        found = {f"{key}_{j}": found[key][:, j] for key in ("mean", "std") for j in range(p)}
    for j in range(p):
        assert_allclose(
            found[f"mean_{j}" if p > 1 or f"mean_{j}" in found else "mean"], q.mean[:, j].detach(), atol=1e-5
        )
        assert_allclose(
            found[f"std_{j}" if p > 1 or f"std_{j}" in found else "std"], q.stddev[:, j].detach(), rtol=1e-4
        )


@pytest.mark.parametrize("name", [*POINT_MODELS, "bernoulli", "grey", "sine"])
def test_decoding_what_encode_wrote_gives_what_reconstruct_wrote(name, runs, tmp_path):
    main(["encode", str(runs[name]), "val", "-o", str(tmp_path / "z.npz")])
    main(["reconstruct", str(runs[name]), "val", "-o", str(tmp_path / "r.npz")])
    z, r = np.load(tmp_path / "z.npz"), np.load(tmp_path / "r.npz")
    run = vaelab.load_run(runs[name])
    p = run.vae.decode(torch.from_numpy(z["mean"]))
    assert_allclose(r["mean"], p.mean.detach(), rtol=1e-4, atol=1e-5)
    assert r["sample"].shape == r["mean"].shape == (len(z["mean"]), *run.target_shape)
    assert not np.array_equal(r["sample"], r["mean"])  # a draw of p(t|z) is not its mean


@pytest.mark.parametrize("name", [*POINT_MODELS, "bernoulli", "grey", "sine", "linear"])
def test_every_model_draws_its_pictures(name, runs, tmp_path):
    for verb in (["reconstruct", runs[name], "test"], ["sample", runs[name], "-n", "9"], ["traverse", runs[name]]):
        file = tmp_path / f"{verb[0]}.png"
        main([*map(str, verb), "-o", str(file)])
        assert is_picture(file)


def points_file(folder, kind, points):
    path = folder / f"points{kind}"
    if kind == ".npy":
        np.save(path, points)
    elif kind == ".npz":
        np.savez(path, x=points, other=points[:2])
    else:
        tables.write_table(path, [{name: points[:, j] for j, name in enumerate("xys")}])
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".csv", ".parquet"])
def test_points_are_read_from_every_kind_of_table(kind, runs, tmp_path):
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    main(["encode", str(runs["gaussian"]), str(points_file(tmp_path, kind, points)), "-o", str(tmp_path / "z.npz")])
    expected = vaelab.load_run(runs["gaussian"]).vae.encode(torch.from_numpy(points)).mean.detach()
    assert_allclose(np.load(tmp_path / "z.npz")["mean"], expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["idx", "idx.gz", "npy", "folder"])
def test_images_are_read_from_every_kind_and_prepared_as_in_training(kind, runs, tmp_path):
    pixels = random_images(6, 5, 7)
    path = tmp_path / "images"
    if kind.startswith("idx"):
        path = path.with_name("images-idx3-ubyte.gz" if kind == "idx.gz" else "images-idx3-ubyte")
        write_idx_images(path, pixels)
    elif kind == "npy":
        np.save(path := path.with_suffix(".npy"), np.asarray(pixels))
    else:
        path.mkdir()
        for index, image in enumerate(np.asarray(pixels)):
            Image.fromarray(image).save(path / f"{index}.png")
    main(["encode", str(runs["bernoulli"]), str(path), "-o", str(tmp_path / "z.npz")])
    run = vaelab.load_run(runs["bernoulli"])
    raw = torch.cat(list(read_chunks(path)))
    x = run.datamodule().prepare(raw, run.x_shape, torch.Generator().manual_seed(0))
    assert set(x.unique().tolist()) <= {0, 1}
    assert_allclose(np.load(tmp_path / "z.npz")["mean"], run.vae.encode(x).mean.detach(), atol=1e-5)


def test_inputs_without_targets_are_encoded_and_reconstructed(runs, tmp_path, capsys):
    np.save(tmp_path / "xy.npy", np.ones((3, 2)))
    main(["reconstruct", str(runs["sine"]), str(tmp_path / "xy.npy"), "-o", str(tmp_path / "s.csv")])
    assert len(columns(tmp_path / "s.csv")["mean_0"]) == 3
    said = rejected(capsys, "reconstruct", runs["sine"], tmp_path / "xy.npy", "-o", tmp_path / "s.png")
    assert "a picture needs targets" in said


def test_a_long_file_streams(runs, tmp_path, monkeypatch):
    """Rows pass in batches, so memory does not grow with the file."""
    from vaelab.commands import rows

    np.save(tmp_path / "long.npy", np.random.default_rng(0).normal(size=(2345, 3)))
    seen = []
    encode = vaelab.VAE.encode
    monkeypatch.setattr(vaelab.VAE, "encode", lambda self, x, c=None: seen.append(len(x)) or encode(self, x, c))
    main(["encode", str(runs["gaussian"]), str(tmp_path / "long.npy"), "-o", str(tmp_path / "z.npz")])
    seen = [count for count in seen if count > 1]  # single ones measure the memory of a decode
    assert sum(seen) == len(np.load(tmp_path / "z.npz")["mean"]) == 2345
    assert max(seen) == rows.ROWS


# sample


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
@pytest.mark.parametrize("name", ["gaussian_isotropic", "bernoulli"])
def test_sample_writes_z_mean_and_draw(name, suffix, runs, tmp_path):
    file = tmp_path / f"s{suffix}"
    main(["sample", str(runs[name]), "-n", "1003", "-o", str(file)])
    found = columns(file)
    if suffix == ".npz":
        run = vaelab.load_run(runs[name])
        assert_allclose(found["mean"], run.vae.decode(torch.from_numpy(found["z"])).mean.detach(), atol=1e-5)
        assert found["sample"].shape == (1003, *run.target_shape)
    else:
        assert {len(column) for column in found.values()} == {1003}
        assert {name.split("_")[0] for name in found} == {"z", "mean", "sample"}


def test_the_same_seed_draws_the_same(runs, tmp_path):
    for suffix in ("csv", "png"):
        for file, seed in (("a", "3"), ("b", "3"), ("c", "4")):
            main(["sample", str(runs["gaussian"]), "-n", "4", "-o", f"{tmp_path}/{file}.{suffix}", "--seed", seed])
        a, b, c = ((tmp_path / f"{file}.{suffix}").read_bytes() for file in "abc")
        assert a == b != c


def test_the_latents_of_most_kl_move_where_an_evaluation_tells_them(runs, tmp_path, capsys):
    copy = shutil.copytree(runs["bernoulli"], tmp_path / "copy")
    (copy / "evaluation.json").unlink(missing_ok=True)
    main(["traverse", str(copy), "-o", str(tmp_path / "t.png")])
    assert "latents 1 2 3 of 3" in capsys.readouterr().out
    from vaelab.evaluation import views

    (copy / "evaluation.json").write_text(json.dumps({"kl_per_dimension": [0.1, 0.7, 0.4]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "TRAVERSED", 2)
        main(["traverse", str(copy), "-o", str(tmp_path / "t.png")])
    assert "latents 2 3 of 3" in capsys.readouterr().out


def test_chosen_latents_move(runs, tmp_path):
    for name, latents in (("one", ["1"]), ("both", ["1", "2"])):
        main(["traverse", str(runs["gaussian"]), "-o", f"{tmp_path}/{name}.png", "--latents", *latents])
        assert is_picture(tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "both.png").read_bytes()


# What people get wrong


def test_bad_input_ends_in_one_sentence_and_touches_nothing(runs, tmp_path, capsys):
    run, images, file = runs["gaussian"], runs["bernoulli"], tmp_path / "kept.csv"
    file.write_text("precious\n")
    np.save(tmp_path / "wide.npy", np.zeros((4, 5)))
    np.save(tmp_path / "nan.npy", np.where(np.arange(9).reshape(3, 3) == 7, np.nan, 0.0))
    np.save(tmp_path / "words.npy", np.array([["a", "b", "c"]]))
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    np.save(tmp_path / "grey.npy", np.full((2, 35), 0.5))
    np.save(tmp_path / "turned.npy", np.zeros((2, 7, 5), dtype=np.uint8))
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 3)))
    (tmp_path / "rows.txt").write_text("1 2 3\n")
    (tmp_path / "ragged.csv").write_text("1,2,3\n4,5\n")
    for arguments, words in [
        (("encode", run, tmp_path / "wide.npy", "-o", file), "rows of 5 numbers"),
        (("encode", run, tmp_path / "nan.npy", "-o", file), "row 2"),
        (("encode", run, tmp_path / "words.npy", "-o", file), "words.npy"),
        (("encode", run, tmp_path / "empty.npy", "-o", file), "must hold at least one row"),
        (("encode", run, tmp_path / "rows.txt", "-o", file), "is not a kind of file that vaelab can read"),
        (("encode", run, tmp_path / "ragged.csv", "-o", file), "ragged.csv"),
        (("encode", run, tmp_path / "missing.npy", "-o", file), "missing.npy does not exist"),
        (("encode", images, tmp_path / "grey.npy", "-o", file), "uint8"),
        (("encode", run, "test", "-o", tmp_path / "z.png"), "z.png"),
        (("encode", run, "test", "-o", tmp_path / "z.xlsx"), "z.xlsx"),
        (("encode", run, "test", "-o", tmp_path / "no" / "z.csv"), "no"),
        (
            ("encode", run, "test", "-o", file, "--samples", "-1"),
            "--samples must be a whole number of at least 0, but is -1",
        ),
        (("encode", run, "test", "-o", file, "--seed", "-1"), "--seed must be a whole number of at least 0, but is -1"),
        (("encode", run, "test", "-o", file, "--device", "nonsense"), "device=nonsense"),
        (("encode", run, "test", "-o", file, "--data", "nonsense=3"), "nonsense is not a key of the run's data"),
        (("evaluate", run, "--data", "support=binary"), "support is not a key of the run's data"),
        (("evaluate", run, "--data", "seed=abc"), "data.seed must be a whole number of at least 0, but is 'abc'"),
        (("encode", images, tmp_path / "turned.npy", "-o", file), "must have the shape 1x5x7, but the data has"),
        (("encode", run, tmp_path / "in.npz", "-o", tmp_path / "in.npz"), "must not name the data themselves"),
        (("interpolate", run, f"{file}:0", "test:1", "-o", file), "must not name the data themselves"),
        (("interpolate", run, "test:1", "test:99", "-o", tmp_path / "i.png"), "but one is test:99"),
        (("score", run, "test", "-o", tmp_path / "s.png"), "s.png must end in one of .npz, .csv, .parquet"),
        (("score", run, "test", "-o", file, "--samples", "0"), "--samples must be a whole number of at least 1"),
        (("list", tmp_path), "must hold a run, but neither it nor"),
        (("encode", run, "test", "-o", file, "--device", "meta"), "device=meta cannot be used here"),
        (("sample", run, "-n", "10001", "-o", tmp_path / "s.png"), "-n must be at most 10000 for a picture"),
        (("traverse", run, "-o", tmp_path / "t.png", "--steps", "201"), "--steps must be at most 200 for a picture"),
        (("encode", run, "test", "-o", file, "--data", "nonsense"), "KEY=VALUE"),
        (("encode", tmp_path / "norun", "test", "-o", file), "norun does not exist"),
        (("encode", run, "test"), "-o"),
        (("evaluate", run, "--samples", "0"), "samples must be a whole number of at least 1, but is 0"),
        (("evaluate", run, "--memory", "0"), "memory must be a whole number of at least 1, but is 0"),
        (("evaluate", run, "--split", "nonsense"), "nonsense"),
        (("evaluate",), "RUN"),
        (("traverse", run, "-o", tmp_path / "t.csv"), "t.csv"),
        (
            ("traverse", run, "-o", tmp_path / "t.png", "--steps", "0"),
            "steps must be a whole number of at least 2, but is 0",
        ),
        (
            ("traverse", images, "-o", tmp_path / "t.png", "--span", "0"),
            "span must be a number greater than 0, but is 0.0",
        ),
        (("traverse", run, "-o", tmp_path / "t.png", "--latents", "3"), "from 1 to 2, the run's latents"),
        (("sample", run, "-n", "many", "-o", file), "many"),
        (("nonsense", run), "nonsense"),
        ((), "VERB"),
    ]:
        assert words in rejected(capsys, *arguments), arguments
    assert file.read_text() == "precious\n"
    assert not list(tmp_path.glob("*.png"))


def test_a_broken_report_folder_loses_no_numbers(runs, tmp_path, capsys):
    copy = shutil.copytree(runs["gaussian"], tmp_path / "copy")
    (copy / "evaluation.json").unlink(missing_ok=True)
    (copy / "evaluation.json").mkdir()
    with pytest.raises(SystemExit):
        main(["evaluate", str(copy), "--samples", "5"])
    assert "nll" in capsys.readouterr().out
