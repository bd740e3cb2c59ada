"""A run keeps its curves, also over a resume, and hands them to the picture of its curves."""

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.runner import TINY, compose_config
from vaelab.app.resume import resume
from vaelab.app.start import train
from vaelab.training.elbo_history import MOST, ElboHistory


def test_a_long_curve_keeps_its_last_points():
    history = ElboHistory()
    for step in range(5 * MOST):
        history.add("train", step / 10, -float(step))
    epochs, values = history.train
    assert MOST <= len(epochs) <= 2 * MOST
    assert values[-1] == -(5 * MOST - 1)
    np.testing.assert_allclose(np.array(epochs) * 10, -np.array(values))
    assert np.all(np.diff(epochs) > 0)


def test_it_is_restored_from_tensors():
    history, other = ElboHistory(), ElboHistory()
    history.add("train", 0.5, -3.0)
    history.add("train", 1.0, -2.0)
    other.load_state_dict(history.state_dict())
    other.add("val", 1.0, -2.5)
    assert (other.train, other.val) == (([0.5, 1.0], [-3.0, -2.0]), ([1.0], [-2.5]))
    assert torch.equal(history.state_dict()["val"], torch.zeros(2, 0))


def curves_in(folder):
    """`train` and `val` of the last checkpoint, and the steps and values of val/elbo in the event files."""
    position = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=False)["position"]
    events = EventAccumulator(str(folder)).Reload().Scalars("val/elbo")
    return position["elbos"], [event.value for event in events]


def test_a_resumed_run_has_the_curves_of_both_parts(tmp_path):
    options = ("data.batch_size=8", "network.hidden=[6]", "callbacks.pictures.every_n_epochs=null", *TINY)
    folder = tmp_path / "run"
    train(compose_config(folder, *options, "trainer.max_epochs=2"))
    first, _ = curves_in(folder)
    assert first["val"][0].tolist() == [1, 2]
    assert first["train"][0, -1] == pytest.approx(2)
    picture = (folder / "figures" / "curves.png").read_bytes()
    resume({"resume": str(folder), "trainer.max_epochs": "5"})
    both, logged = curves_in(folder)
    assert both["val"][0].tolist() == [1, 2, 3, 4, 5]
    torch.testing.assert_close(both["val"][1].float(), torch.tensor(logged))
    assert torch.equal(both["train"][:, : first["train"].shape[1]], first["train"])
    assert (folder / "figures" / "curves.png").read_bytes() != picture
