"""Every run stores its baseline and its ceiling, and every way to continue or load it gives the same numbers."""

import json
import math

import pytest
import torch

import vaelab
from helpers.runner import SHORT, TINY, run_train


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_a_run_ends_with_its_landmarks(tmp_path):
    ended = run_train(tmp_path, *TINY, *SHORT, "hydra.run.dir=run")
    found, run = metrics(tmp_path / "run"), vaelab.load_run(tmp_path / "run")
    data = run.datamodule()
    data.setup()
    t = {split: data.examples(split)[1].double() for split in ("train", "val", "test")}
    mean, variance = t["train"].mean(), t["train"].var(correction=0)
    for split in ("val", "test"):
        by_hand = torch.distributions.Normal(mean, variance.sqrt()).log_prob(t[split]).mean().item()
        assert found[f"{split}/baseline"] == pytest.approx(by_hand, abs=1e-5)
        assert found[f"{split}/ceiling"] == pytest.approx(-math.log(math.pi / 2), abs=1e-6)
    assert run.baseline().stddev.item() == pytest.approx(variance.sqrt().item(), rel=1e-5)
    rows = [line.split()[0] for line in ended.stdout.splitlines() if line.split()]
    assert rows[rows.index("baseline") : rows.index("baseline") + 3] == ["baseline", "elbo", "ceiling"]


def test_a_resumed_run_keeps_its_baseline(tmp_path):
    run_train(tmp_path, *TINY, *SHORT, "hydra.run.dir=run", "model=gaussian_shared")
    before = vaelab.load_run(tmp_path / "run").baseline.state_dict()
    run_train(tmp_path, "resume=run", "trainer.max_epochs=2")
    torch.testing.assert_close(vaelab.load_run(tmp_path / "run").baseline.state_dict(), before, rtol=0, atol=0)
    assert metrics(tmp_path / "run")["test/baseline"] < 0


def test_a_run_without_a_baseline_loads_and_resumes(tmp_path):
    run_train(tmp_path, *TINY, *SHORT, "hydra.run.dir=run")
    for name in ("best", "last"):
        path = tmp_path / "run/checkpoints" / f"{name}.ckpt"
        content = torch.load(path, weights_only=True)
        state = {key: value for key, value in content["state_dict"].items() if not key.startswith("baseline.")}
        for metrics in filter(None, (content["metrics"], content.get("position", {}).get("metrics"))):
            for tag in ("val/baseline", "val/ceiling"):
                del metrics[tag]
        torch.save({**content, "state_dict": state}, path)
    assert vaelab.load_run(tmp_path / "run").baseline is None
    ended = run_train(tmp_path, "resume=run", "trainer.max_epochs=2")
    assert ended.returncode == 0
    assert "baseline" not in ended.stdout


def test_a_baseline_of_another_shape_is_refused(tmp_path):
    run_train(tmp_path, *TINY, *SHORT, "hydra.run.dir=run")
    path = tmp_path / "run/checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    content["state_dict"]["baseline.numbers"] = torch.zeros(3)
    torch.save(content, path)
    with pytest.raises(ValueError, match="holds weights that do not fit its own config"):
        vaelab.load_run(tmp_path / "run")
