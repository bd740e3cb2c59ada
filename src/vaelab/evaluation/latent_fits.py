"""Fits a distribution to the latents of examples, so that samples resemble the z that the decoder was trained on.

A decoder learns to decode z ~ q(z) = E_x q(z|x). If q(z) differs from the prior, z ~ p(z) may decode badly although the
reconstructions are good. The cure is to fit a density to q(z) after training, and to draw from that (Ghosh et al. 2020,
arxiv.org/abs/1903.12436: ex-post density estimation).
"""

import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, MixtureSameFamily

from vaelab.families.flow import zuko_flows
from vaelab.families.normals import FullNormal
from vaelab.precision import double
from vaelab.priors import FlowPrior
from vaelab.seeded import seeded

POINTS = 10_000  # the most latents that a mixture is fitted to
SIZES = (1, 2, 4, 8, 16, 32, 64)  # numbers of components to try
OPTIONS = {"reg_covar": 1e-4, "init_params": "k-means++"}  # of scikit-learn's mixture
TRANSFORMS, HIDDEN = 3, (128,)
STEPS, EVERY, PATIENCE, BATCH, LEARNING_RATE = 4_000, 100, 5, 200, 2e-3
SMALLEST = 1e-6  # the least standard deviation of a latent


class Fit(NamedTuple):
    """A distribution over z, batch_shape (), and what it is, in words."""

    distribution: Distribution
    text: str


def fit_mixture(z: Tensor, seed: int = 0) -> Fit:
    """Fits a mixture of Gaussians by expectation maximisation (scikit-learn).

    A fifth of the examples is held back. It decides how many components there are, and if their covariances are
    diagonal or full: the number doubles for as long as the mean log-density of the held-back latents rises.

    >>> fit = fit_mixture(torch.randn(1, 50, 2))
    >>> fit.distribution.sample((7,)).shape
    torch.Size([7, 2])

    Args:
        z: (L, n, p), L draws for each of n examples, n ≥ 5.
        seed: the seed of the fit.

    Raises:
        ValueError: scikit-learn is not installed.
    """
    try:
        from sklearn.mixture import GaussianMixture
    except ImportError as error:
        raise ValueError(
            '--latents mixture needs scikit-learn, which is not installed; run pip install "scikit-learn>=1.6"'
        ) from error
    loc, std = _loc_and_std(z)
    fitting, held_back = (((each - loc) / std).flatten(0, 1).cpu().numpy() for each in _split(z, seed))
    best: tuple[float, Any] = (-math.inf, None)
    for kind in ("diag", "full"):
        last = -math.inf
        for size in SIZES:
            if size > len(fitting) // 2:
                break
            model = GaussianMixture(size, covariance_type=kind, random_state=seed, **OPTIONS)
            with warnings.catch_warnings():  # a fit that has not converged is judged like the others
                warnings.simplefilter("ignore")
                score = model.fit(fitting[:POINTS]).score(held_back)
            best = max(best, (score, model), key=lambda pair: pair[0])
            if not score > last:
                break
            last = score
    return _as_distribution(best[1], loc, std)


def _as_distribution(model: Any, loc: Tensor, std: Tensor) -> Fit:
    """scikit-learn's mixture of standardised latents -> the mixture of latents in their own units."""
    weights, means, covariances = (loc.new_tensor(each) for each in (model.weights_, model.means_, model.covariances_))
    full = model.covariance_type == "full"
    factor = torch.linalg.cholesky(double(covariances)).to(loc) if full else covariances.sqrt().diag_embed()
    parts = FullNormal(loc + std * means, scale_tril=std.unsqueeze(-1) * factor, validate_args=False)
    mixture = MixtureSameFamily(Categorical(weights, validate_args=False), parts, validate_args=False)
    gaussians = "one Gaussian" if len(weights) == 1 else f"a mixture of {len(weights)} Gaussians"
    return Fit(mixture, f"{gaussians} with {'full' if full else 'diagonal'} covariance")


def fit_flow(z: Tensor, seed: int = 0) -> Fit:
    """Fits a masked autoregressive flow (zuko) by maximum likelihood.

    A fifth of the examples is held back. Training ends when the mean log-density of the held-back latents has not risen
    for some time, and the flow is the best one until then.

    Args:
        z: (L, n, p), L draws for each of n examples, n ≥ 5.
        seed: the seed of the fit.

    Raises:
        ValueError: zuko is not installed.
    """
    zuko_flows("--latents")
    loc, std = _loc_and_std(z)
    fitting, held_back = (each.flatten(0, 1) for each in _split(z, seed))
    with seeded(seed), torch.enable_grad():
        flow = FlowPrior(loc.shape, TRANSFORMS, HIDDEN).to(z)
        flow.loc.data, flow.log_std.data = loc.clone(), std.log()
        _train(flow, fitting, held_back[: len(fitting)])
    return Fit(flow.requires_grad_(False)(), f"a flow of {TRANSFORMS} autoregressive transforms")


def _train(flow: FlowPrior, fitting: Tensor, held_back: Tensor) -> None:
    optimizer = torch.optim.Adam(flow.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    best, state, waited = -math.inf, {}, 0
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            with torch.no_grad():
                score = double(flow().log_prob(held_back)).mean().item()
            waited = 0 if score > best else waited + 1
            if score > best:
                best, state = score, {name: value.clone() for name, value in flow.state_dict().items()}
            elif waited == PATIENCE or math.isnan(score):
                break
        optimizer.zero_grad()
        rows = torch.randint(len(fitting), (BATCH,))
        (-flow().log_prob(fitting[rows.to(fitting.device)]).mean()).backward()
        optimizer.step()
        schedule.step()
    flow.load_state_dict(state)


def _loc_and_std(z: Tensor) -> tuple[Tensor, Tensor]:
    flat = z.flatten(0, 1)
    return flat.mean(0), flat.std(0).clamp_min(SMALLEST)


def _split(z: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The latents of four fifths of the examples, in random order, and those of the others."""
    order = torch.randperm(z.shape[1], generator=torch.Generator().manual_seed(seed)).to(z.device)
    held_back = max(1, z.shape[1] // 5)
    return z[:, order[held_back:]], z[:, order[:held_back]]
