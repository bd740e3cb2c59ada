"""Tables and plots show the values of the configs, not what was typed."""

import pytest

from helpers.run_folders import write_run
from vaelab.sweeps.resolved_values import with_resolved_values
from vaelab.sweeps.rows import read_rows
from vaelab.sweeps.summary import summarise

CONFIG = """\
latent_dim: {size}
seed: 3
model:
  _target_: vaelab.families.DiagonalGaussian
optimizer:
  _target_: torch.optim.Adam
  lr: {rate}
network:
  hidden:
  - 500
  - 500
choices:
  model: gaussian
"""


def write(folder, overrides, size=2, rate="0.001", score=-1.0):
    write_run(folder, score, overrides)
    (folder / "hparams.yaml").write_text(CONFIG.format(size=size, rate=rate))


def test_values_that_nobody_typed_come_from_the_config(tmp_path):
    write(tmp_path / "a", ("latent_dim=5", "optimizer.lr=1e-3"), size=5)
    write(tmp_path / "b", ("model=gaussian", "network.hidden=[500, 500]", "seed=3"))
    a, b = (row.values for row in with_resolved_values(read_rows([tmp_path])))
    rest = {"optimizer.lr": "0.001", "model": "gaussian", "network.hidden": "[500,500]", "seed": "3"}
    assert (a, b) == ({"latent_dim": "5"} | rest, {"latent_dim": "2"} | rest)


def test_the_same_value_typed_in_two_ways_is_one_configuration(tmp_path):
    write(tmp_path / "a", ("optimizer.lr=1e-3", "seed=1"), score=-1.0)
    write(tmp_path / "b", ("optimizer.lr=0.001", "seed=3"), score=-2.0)
    write(tmp_path / "c", ("optimizer.lr=1e-2", "seed=3"), rate="1.0e-2", score=-3.0)
    (tmp_path / "a" / "hparams.yaml").write_text(CONFIG.format(size=2, rate="1.0e-3").replace("seed: 3", "seed: 1"))
    _, text = summarise([tmp_path], None)
    assert "0.001         2" in text
    assert "0.01          1" in text


def test_a_key_that_the_config_lacks_stays_as_it_was_typed(tmp_path):
    write(tmp_path / "a", ("experiment=burda", "+own.key=${latent_dim}"))
    write(tmp_path / "b", ("latent_dim=2",))
    a, b = (row.values for row in with_resolved_values(read_rows([tmp_path])))
    assert a["experiment"] == "burda"
    assert a["own.key"] == "${latent_dim}"
    assert "experiment" not in b


@pytest.mark.parametrize(
    "text", ["latent_dim: *endless\n", "latent_dim: " + "[" * 5000, "\x00", "latent_dim:\n  a: 1\n"]
)
def test_a_config_that_cannot_be_read_leaves_the_typed_values(text, tmp_path):
    write_run(tmp_path / "a", -1.0, ("latent_dim=5",))
    row = read_rows([tmp_path])[0]
    (tmp_path / "a" / "hparams.yaml").write_text(text)
    assert with_resolved_values([row])[0].values == {"latent_dim": "5"}
