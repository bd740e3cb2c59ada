"""Two-sample tests: do two sets of numbers come from the same distribution?

Each test's p-value is below α with probability at most α if they do. A small one means that they differ; a large one
that these tests saw no difference in so many examples.
"""

from typing import NamedTuple

import torch
from scipy.stats import binomtest
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from vaelab.seeded import seeded

PERMUTATIONS = 500
HIDDEN, STEPS, RATE, DECAY = 32, 100, 0.01, 0.01  # of the classifier


class MMDTest(NamedTuple):
    """The result of `mmd_test`.

    Attributes:
        mmd2: the unbiased estimate of MMD², between about 0 (the same distribution) and 2. It may be negative.
        p_value: the share of random relabellings whose MMD² is at least as large.
        bandwidth: of the kernel.
    """

    mmd2: float
    p_value: float
    bandwidth: float


def mmd_test(a: Tensor, b: Tensor, permutations: int = PERMUTATIONS, seed: int = 0) -> MMDTest:
    """The kernel two-sample test (Gretton et al. 2012, jmlr.org/papers/v13/gretton12a.html): (m, d), (n, d).

    The kernel is exp(−‖u − v‖² / (2h²)), and h is the median distance between two examples of both sets together. MMD²
    is their eq. 3. Labels are permuted at random, so the p-value holds for any m and n.

    >>> a, b = torch.randn(100, 3), torch.randn(90, 3) + 1
    >>> mmd_test(a, b).p_value < 0.01
    True

    Raises:
        ValueError: a set has fewer than two examples.
    """
    m, total = len(a), len(a) + len(b)
    if min(m, total - m) < 2:
        raise ValueError(f"both sets must have at least 2 examples, but have {m} and {total - m}; use larger ones")
    kernel, bandwidth = _median_kernel(torch.cat([a, b]).double())
    generator = torch.Generator().manual_seed(seed)
    orders = torch.rand(permutations, total, generator=generator).argsort(-1)
    labels = torch.zeros(total, permutations + 1, dtype=torch.float64)  # 1 for a
    labels[:m, 0] = 1
    labels[:, 1:].scatter_(0, orders[:, :m].T, 1.0)
    values = _mmd2(kernel, labels, m)
    rank = 1 + int((values[1:] >= values[0] - 1e-12).sum())
    return MMDTest(values[0].item(), rank / (permutations + 1), bandwidth)


def _median_kernel(points: Tensor) -> tuple[Tensor, float]:
    """k(u, v) of all pairs of points, with zeros on the diagonal, and h. If most points are equal, h is 1."""
    distances = torch.cdist(points, points)
    median = torch.nn.functional.pdist(points).median().item()
    bandwidth = median if median > 0 else 1.0
    return torch.exp(-(distances**2) / (2 * bandwidth**2)).fill_diagonal_(0.0), bandwidth


def _mmd2(kernel: Tensor, labels: Tensor, m: int) -> Tensor:
    """MMD² for each column of labels (N, k), of which m are 1 -> (k,)."""
    n = len(kernel) - m
    within_a = (labels * (kernel @ labels)).sum(0)
    across = kernel.sum(1) @ labels - within_a
    within_b = kernel.sum() - within_a - 2 * across
    return within_a / (m * (m - 1)) + within_b / (n * (n - 1)) - 2 * across / (m * n)


class ClassifierTest(NamedTuple):
    """The result of `classifier_test`.

    Attributes:
        accuracy: of the classifier on examples that it was not fitted to; 0.5 if the sets cannot be told apart.
        low: the lower end of the 95 % interval (Wilson's) of its accuracy on further examples.
        high: the upper end.
        p_value: of an accuracy that high by guessing.
    """

    accuracy: float
    low: float
    high: float
    p_value: float


def classifier_test(a: Tensor, b: Tensor, seed: int = 0) -> ClassifierTest:
    """The classifier two-sample test (Lopez-Paz & Oquab 2017, arxiv.org/abs/1610.06545, §3): (n, d), (n, d).

    A network with one hidden layer of 32 units is fitted to half of each set, and guesses the set of the other half.

    >>> classifier_test(torch.randn(100, 3), torch.randn(100, 3) + 2).low > 0.5
    True

    Raises:
        ValueError: the sets differ in size, or have fewer than two examples.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(
            f"both sets must have the same number of examples, at least 2, but have {len(a)} and {len(b)}; use as many "
            "of each"
        )
    order = torch.randperm(len(a), generator=torch.Generator().manual_seed(seed))
    parts = [[values[rows].float() for values in (a, b)] for rows in order.tensor_split(2)]
    (x, label), (other, truth) = ((torch.cat(part), _labels(*part)) for part in parts)
    mean, scale = x.mean(0), x.std(0)
    scale = scale.where(scale > 1e-6, 1.0)
    with seeded(seed):
        network = _fitted((x - mean) / scale, label)
    with torch.no_grad():
        guessed = network((other - mean) / scale).squeeze(-1) > 0
    test = binomtest(int((guessed == truth.bool()).sum()), len(truth), alternative="greater")
    interval = binomtest(test.k, test.n).proportion_ci(method="wilson")
    return ClassifierTest(test.k / test.n, float(interval.low), float(interval.high), float(test.pvalue))


def _labels(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([torch.zeros(len(a)), torch.ones(len(b))])


@torch.enable_grad()
def _fitted(x: Tensor, label: Tensor) -> nn.Module:
    network = nn.Sequential(nn.Linear(x.shape[-1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(x).squeeze(-1), label).backward()
        optimizer.step()
    return network
