"""The VAE of a case without vaelab, and the bare loop over it: PyTorch and the mathematics, nothing else."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

MIN_VARIANCE = 1e-4


def network(*sizes: int) -> nn.Sequential:
    """Linear maps with tanh between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class HandWritten(nn.Module):
    """The VAE of a case without vaelab: a diagonal Gaussian q(z|x), and a Gaussian or a Bernoulli p(x|z).

    Args:
        x_size: numbers in x.
        hidden: widths of the hidden layers.
        latent_dim: numbers in z.
        binary: Bernoulli if true, else Gaussian.
        draws: K of the importance-weighted bound; None for the ELBO with its KL in closed form.
    """

    def __init__(
        self, x_size: int, hidden: Sequence[int], latent_dim: int, binary: bool, draws: int | None = None
    ) -> None:
        super().__init__()
        self.binary, self.draws = binary, draws
        self.encoder = network(x_size, *hidden, 2 * latent_dim)
        self.decoder = network(latent_dim, *hidden, x_size if self.binary else 2 * x_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, k) -> the bound, (B,)."""
        mean, h = self.encoder(x).chunk(2, -1)
        variance = MIN_VARIANCE + h.exp()
        if self.draws is None:
            z = mean + variance.sqrt() * torch.randn_like(mean)
            return self.log_likelihood(x, z) - 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1)
        noise = torch.randn(self.draws, *mean.shape, device=mean.device)
        z = mean + variance.sqrt() * noise
        log_ratio = 0.5 * (z.square() - noise.square() - variance.log()).sum(-1)  # log q(z|x) − log p(z)
        return (self.log_likelihood(x, z) - log_ratio).logsumexp(0) - math.log(self.draws)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """x (B, k), z (…, B, p) -> log p(x|z), (…, B)."""
        output = self.decoder(z)
        if self.binary:
            return -softplus((1 - 2 * x) * output).sum(-1)
        t_mean, t_h = output.chunk(2, -1)
        t_variance = MIN_VARIANCE + t_h.exp()
        squares = (x - t_mean).square() / t_variance
        return -0.5 * (squares + t_variance.log() + math.log(2 * math.pi)).sum(-1)


def bare_epochs(
    vae: HandWritten, train: Tensor, val: Tensor, redraw: Callable[[Tensor], Tensor], batch_size: int, lr: float
) -> Iterator[tuple[int, float, str]]:
    """Trains and validates an epoch at a time; -> (steps, seconds of the steps, what to print)."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr, fused=True)
    while True:
        start, steps, total = time.perf_counter(), 0, torch.zeros((), device=train.device)
        for rows in torch.randperm(len(train), device=train.device).split(batch_size):
            loss = -vae(redraw(train.index_select(0, rows))).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            steps += 1
        mean = total.item() / steps  # on a GPU this waits for the steps
        seconds = time.perf_counter() - start
        yield steps, seconds, f"train {-mean:.3f} val {elbo(vae, val):.3f}"


@torch.no_grad()
def elbo(vae: HandWritten, x: Tensor) -> float:
    """The mean of the bound over examples, nats."""
    return torch.cat([vae(part) for part in x.split(1000)]).mean().item()
