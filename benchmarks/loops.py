"""The loops that vaelab is compared with; each trains the same VAE on the same data: python -m benchmarks.loops.

bare        PyTorch written for speed: fused Adam, data in memory, only the mathematics
plain       PyTorch as most people write it: a DataLoader over items, plain Adam, `loss.item()` at every step
lightning   vaelab's model in an ordinary LightningModule: `training_step` and `self.log` for each minibatch
pythae      Pythae's trainer
"""

import argparse
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.cases import Case, is_binary
from benchmarks.model import HandWritten, bare_epochs, elbo, network
from benchmarks.turns import Turn, Turns
from vaelab.data import DataModule


def bare(case: Case, device: str) -> Iterator[tuple[int, float]]:
    """Trains and validates one epoch after another; -> (steps, seconds of training) for each."""
    data, train, val = load(case)
    train, val = train.to(device), val.to(device)
    redraw = data.redraw or (lambda x: x)  # fresh binary pixels, in the fastest known way
    optimizer = case.config.optimizer
    vae = hand_written(case, train).to(device)
    for steps, seconds, line in bare_epochs(vae, train, val, redraw, data.batch_size, optimizer.lr):
        print(line, flush=True)
        yield steps, seconds


def plain(case: Case, device: str) -> Iterator[tuple[int, float]]:
    """As `bare`."""
    _, train, val = load(case)
    vae, val = hand_written(case, train).to(device), val.to(device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=case.config.optimizer.lr)
    loader = DataLoader(TensorDataset(train), batch_size=case.config.data.batch_size, shuffle=True)
    while True:
        start, total = time.perf_counter(), 0.0
        for (x,) in loader:
            x = x.to(device)
            x = torch.bernoulli(x.float() / 255) if vae.binary else x
            loss = -vae(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        seconds = time.perf_counter() - start
        print(f"train {-total / len(loader):.3f} val {elbo(vae, val):.3f}", flush=True)
        yield len(loader), seconds


def load(case: Case) -> tuple[DataModule, Tensor, Tensor]:
    """-> the data module, and its training and validation examples, flat."""
    _, data = case.build()
    return data, data.train.flatten(1), data.val.flatten(1)


def hand_written(case: Case, x: Tensor) -> HandWritten:
    """The VAE of a case for x (n, k)."""
    config = case.config
    return HandWritten(x.shape[1], config.network.hidden, config.latent_dim, is_binary(config), case.draws)


def lightning(case: Case, turns: Turns, folder: str, device: str) -> None:
    """Trains until no more turns are asked for."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.loggers import TensorBoardLogger

    module, data = case.build()

    class Ordinary(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.vae = module.vae

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=case.config.optimizer.lr)

        def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return self.step("train", *batch)

        def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
            return self.step("val", *batch)

        def step(self, split: str, x: Tensor, target: Tensor) -> Tensor:
            for name, term in (terms := module.objective(self.vae, x, target))._asdict().items():
                self.log(f"{split}/{name}", term.mean(), batch_size=len(x), prog_bar=name == "elbo")
            return terms.loss.mean()

    trainer = Trainer(
        accelerator=device,
        max_epochs=-1,
        logger=TensorBoardLogger(folder),
        callbacks=[ModelCheckpoint(folder, monitor="val/elbo", mode="max", save_last=True), turns],
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )
    trainer.fit(Ordinary(), train_dataloaders=data.train_dataloader(), val_dataloaders=data.val_dataloader())


def pythae(case: Case, turn: Turn, folder: str, device: str) -> None:
    """Trains until no more turns are asked for; Pythae has neither fresh pixels nor a learned variance of p(x|z)."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    _, train, _ = load(case)
    vae, x_size, latent_dim = hand_written(case, train), train.shape[1], case.config.latent_dim

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = vae.encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.network(x).chunk(2, -1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(latent_dim, *case.config.network.hidden, x_size)

        def forward(self, z: Tensor) -> ModelOutput:
            output = self.network(z)
            return ModelOutput(reconstruction=output.sigmoid() if vae.binary else output)

    class Timed(BaseTrainer):
        def train_step(self, epoch: int) -> Any:
            if (epoch - 1) % case.epochs == 0:
                turn.wait()
                self.seconds = 0.0
            start = time.perf_counter()
            result = super().train_step(epoch)
            self.seconds += time.perf_counter() - start
            if epoch % case.epochs == 0:
                turn.report(steps=case.epochs * len(self.train_loader), train=self.seconds)
            return result

    x = torch.bernoulli(train.float() / 255) if vae.binary else train
    loss = "bce" if vae.binary else "mse"
    model = VAE(VAEConfig(input_dim=(x_size,), latent_dim=latent_dim, reconstruction_loss=loss), Encoder(), Decoder())
    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=10**6,
        per_device_train_batch_size=case.config.data.batch_size,
        learning_rate=case.config.optimizer.lr,
        no_cuda=device == "cpu",
    )
    Timed(model=model, train_dataset=BaseDataset(x, torch.zeros(len(x))), training_config=config).train()


def take_turns(loop: Iterator[tuple[int, float]], epochs: int, turn: Turn) -> None:
    """Runs a loop, some epochs a turn, until no more turns are asked for."""
    while True:
        turn.wait()
        start = time.perf_counter()
        steps, seconds = map(sum, zip(*(next(loop) for _ in range(epochs)), strict=True))
        turn.report(steps=steps, train=seconds, whole=time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("loop", choices=["bare", "plain", "lightning", "pythae"])
    parser.add_argument("epochs", type=int)
    parser.add_argument("folder")
    parser.add_argument("device", choices=["cpu", "cuda"])
    parser.add_argument("overrides", nargs="*")
    asked = parser.parse_args()
    case = Case(asked.loop, tuple(asked.overrides), asked.epochs)
    torch.manual_seed(0)
    if asked.loop == "lightning":
        lightning(case, Turns(asked.epochs), asked.folder, asked.device)
    elif asked.loop == "pythae":
        pythae(case, Turn(), asked.folder, asked.device)
    else:
        take_turns({"bare": bare, "plain": plain}[asked.loop](case, asked.device), case.epochs, Turn())


if __name__ == "__main__":
    main()
