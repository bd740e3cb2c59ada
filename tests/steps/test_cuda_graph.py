"""Steps on a GPU: the data are moved there, and a captured step equals an ordinary one."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from runner import compose_config

from vaelab import VAE
from vaelab.app.start import train
from vaelab.data import Sine
from vaelab.families import DiagonalGaussian
from vaelab.networks import MLP
from vaelab.objectives import ELBO
from vaelab.priors import StandardNormal
from vaelab.steps.cuda_graph import is_capturable, settings
from vaelab.training import Diverged, VAEModule


def test_only_optimisers_with_their_counters_on_the_gpu_are_captured():
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    assert is_capturable(torch.optim.AdamW(parameters))
    assert not is_capturable(torch.optim.SGD(parameters, lr=0.1))


def test_a_captured_step_holds_for_its_settings_whatever_the_rate():
    adam = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    same = settings(adam)
    adam.param_groups[0]["lr"] = 0.2
    assert settings(adam) == same
    adam.param_groups[0]["betas"] = (0.5, 0.9)
    assert settings(adam) != same


def test_batches_stay_where_a_trainer_without_a_gpu_computes():
    data = Sine(train_size=7, val_size=5, test_size=3)
    data.setup()
    data.trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert loader.x.device.type == "cpu"
    assert data.train_dataloader().x is data.train[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnAGPU:
    def fit(self, data, compiled):
        torch.manual_seed(3)
        likelihood = DiagonalGaussian((3,))
        vae = VAE.build((3,), DiagonalGaussian((2,)), likelihood, StandardNormal((2,)), partial(MLP, hidden=[9]))
        schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
        module = VAEModule(vae, ELBO(), partial(torch.optim.Adam, fused=True), schedule, compiled)
        trainer = Trainer(
            accelerator="gpu",
            max_epochs=3,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            gradient_clip_val=0.5,
        )
        trainer.fit(module, data)
        return module

    def test_a_captured_step_is_the_step(self):
        weights = []
        for compiled in (False, True):
            data = Sine(surface=True, train_size=366, val_size=23, test_size=5, batch_size=10)
            module = self.fit(data, compiled)
            assert bool(module.stepper.graphs) == compiled
            weights.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
        torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)

    def test_a_step_that_is_not_finite_is_found_at_the_next_point(self, tmp_path):
        keys = ("optimizer.lr=1e15", "trainer.max_epochs=1", "data.train_size=1000", "trainer.accelerator=gpu")
        with pytest.raises(Diverged, match="a loss or a gradient up to step 10 was not finite, and now"):
            train(compose_config(tmp_path, *keys, "callbacks.pictures=null"))

    def test_the_data_set_lies_on_the_gpu(self):
        data = Sine(surface=True, train_size=366, val_size=23, test_size=5)
        self.fit(data, True)
        x, target = next(iter(data.train_dataloader()))
        assert x.is_cuda
        assert target is x
