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
    """The VAE of a case without vaelab: a diagonal Gaussian q(z|x), and a Gaussian or a Bernoulli p(x|z)."""

    def __init__(self, x_size: int, hidden: Sequence[int], latent_dim: int, binary: bool) -> None:
        super().__init__()
        self.binary = binary
        self.encoder = network(x_size, *hidden, 2 * latent_dim)
        self.decoder = network(latent_dim, *hidden, x_size if self.binary else 2 * x_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, k) -> log p(x|z) with one draw of z, and KL, each (B,)."""
        mean, h = self.encoder(x).chunk(2, -1)
        variance = MIN_VARIANCE + h.exp()
        output = self.decoder(mean + variance.sqrt() * torch.randn_like(mean))
        if self.binary:
            log_likelihood = -softplus((1 - 2 * x) * output).sum(-1)
        else:
            t_mean, t_h = output.chunk(2, -1)
            t_variance = MIN_VARIANCE + t_h.exp()
            squares = (x - t_mean).square() / t_variance
            log_likelihood = -0.5 * (squares + t_variance.log() + math.log(2 * math.pi)).sum(-1)
        return log_likelihood, 0.5 * (variance + mean.square() - 1 - variance.log()).sum(-1)


def bare_epochs(
    vae: HandWritten, train: Tensor, val: Tensor, redraw: Callable[[Tensor], Tensor], batch_size: int, lr: float
) -> Iterator[tuple[int, float, str]]:
    """Trains and validates an epoch at a time; -> (steps, seconds of the steps, what to print)."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr, fused=True)
    while True:
        start, steps, total = time.perf_counter(), 0, torch.zeros((), device=train.device)
        for rows in torch.randperm(len(train), device=train.device).split(batch_size):
            log_likelihood, kl = vae(redraw(train.index_select(0, rows)))
            loss = (kl - log_likelihood).mean()
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
    """Mean over examples, nats."""
    parts = [log_likelihood - kl for log_likelihood, kl in map(vae, x.split(1000))]
    return torch.cat(parts).mean().item()
