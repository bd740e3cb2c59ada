"""How the latents represent known factors: MIG, SAP and DCI, each between 0 and 1.

Each compares a code z (n, p), here the mean of q(z|x), with factors v (n, k) that take a few values each:

MIG   mutual information gap: for each factor, the gap between the two latents that tell most about it
SAP   separated attribute predictability: for each factor, the gap between the two latents that predict it best
DCI   disentanglement (each latent serves one factor), completeness (each factor is in one latent) and informativeness
      (the factors can be predicted), by a random forest for each factor

Locatello et al. 2019, arxiv.org/abs/1811.12359, compare them. None has a standard error here, except informativeness:
another training seed usually changes them far more than other examples would.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from vaelab.precision import device_of, double
from vaelab.vae import VAE

FEWEST = 50  # fewer examples say too little
BINS = 20  # as in Locatello et al. 2019
TREES = 50
FITTED = 0.7  # the share of the examples that the predictors are fitted to; the others measure the accuracy

Codes = np.ndarray  # (n, p), float64
Factors = np.ndarray  # (n, k), int64, each column with its values numbered from 0


@torch.no_grad()
def represent_factors(vae: VAE, data: Any, split: str) -> dict[str, float]:
    """`representation` by the means of q(z|x), for data that know their factors; empty for others.

    Args:
        vae: the model.
        data: a data module, after `setup`.
        split: train, val or test.
    """
    factors = data.factors(split) if hasattr(data, "factors") else None
    if factors is None:
        return {}
    device = device_of(vae)
    given = ((x.to(device), *(each.to(device) for each in more)) for x, _, *more in data.batches(split))
    codes = torch.cat([double(vae.encode(*inputs).mean).cpu() for inputs in given])
    return representation(codes.numpy(), {name: values.numpy() for name, values in factors.items()})


def representation(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> dict[str, float]:
    """All numbers of codes (n, p) and factors, name -> (n,). Whole numbers are classes; floats have an order.

    mig                    mutual information gap
    sap                    separated attribute predictability
    dci_disentanglement, dci_completeness, dci_informativeness, dci_informativeness_stderr, dci_guessing
                           see `dci`; left out if scikit-learn is not installed

    Empty if there are fewer than 50 examples, or no factor takes more than one value.

    >>> v = np.arange(200) % 4
    >>> found = representation(np.stack([v + 0.5, np.zeros(200)], axis=1), {"v": v.astype(float)})
    >>> round(found["mig"], 6), round(found["sap"], 6)
    (1.0, 1.0)
    """
    varied = [values for values in factors.values() if len(np.unique(values)) > 1]
    if not varied or len(codes) < FEWEST:
        return {}
    ordered = np.array([values.dtype.kind == "f" for values in varied])
    numbered = np.stack([np.unique(values, return_inverse=True)[1] for values in varied], axis=1)
    found = {"mig": mig(codes, numbered), "sap": sap(codes, numbered, ordered)}
    try:
        return found | dci(codes, numbered)
    except ImportError:
        return found


def mig(codes: Codes, factors: Factors, bins: int = BINS) -> float:
    """(1/k) Σ_m [I(z_(1); v_m) − I(z_(2); v_m)] / H(v_m), with the latents z_(1), z_(2) of the largest information.

    Chen et al. 2018, arxiv.org/abs/1802.04942, eq. 6, with each latent in `bins` equal intervals from its minimum to
    its maximum. Counts in cells overstate the mutual information of each latent that varies, by about
    (bins − 1)·(values − 1) / (2n) nats, so the gap between two of them hardly changes.

    >>> v = np.arange(200) % 4
    >>> round(mig(np.stack([v + 0.5, np.zeros(200)], axis=1), v[:, None]), 6)
    1.0
    """
    gaps = []
    binned = [_binned(code, bins) for code in codes.T]
    for values in factors.T:
        entropy = _mutual_information(values, values)
        found = sorted((_mutual_information(code, values) for code in binned), reverse=True)
        gaps.append((found[0] - (found[1] if len(found) > 1 else 0.0)) / entropy)
    return float(np.mean(gaps))


def sap(codes: Codes, factors: Factors, ordered: np.ndarray) -> float:
    """The mean over the factors of the gap between the two latents with the highest scores (Kumar et al. 2018, §3).

    arxiv.org/abs/1711.00848. The score of a latent and an ordered factor is their squared correlation. For a factor
    without an order, such as a shape, it is how far the best thresholds on the latent beat guessing: 0 for a latent
    that tells nothing, and 1 for one that tells the factor.

    Args:
        codes: (n, p).
        factors: (n, k).
        ordered: (k,), True for each factor whose values have an order and equal steps.

    >>> factors = np.random.default_rng(0).integers(5, size=(300, 2))
    >>> round(sap(factors.astype(float), factors, np.array([True, True])), 1)
    1.0
    """
    gaps, order = [], np.random.default_rng(0).permutation(len(codes))
    codes, factors = codes[order], factors[order]
    for values, is_ordered in zip(factors.T, ordered, strict=True):
        score = _squared_correlation if is_ordered else _by_thresholds
        found = sorted((score(code, values) for code in codes.T), reverse=True)
        gaps.append(found[0] - (found[1] if len(found) > 1 else 0.0))
    return float(np.mean(gaps))


def disentanglement(importance: np.ndarray) -> float:
    """D = Σ_j ρ_j (1 − H_k(P_j)), with P_j the shares of latent j's importance and ρ_j its share of all importance.

    Eastwood & Williams 2018, openreview.net/forum?id=By-7dz-AZ, §2. H_k is the entropy to the base k, the number of
    factors. 1: each latent serves one factor. 0: every latent serves all factors alike, or none is important.

    >>> disentanglement(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])), disentanglement(np.ones((3, 2)))
    (1.0, 0.0)

    Args:
        importance: (p, k), of each latent for each factor, at least 0.
    """
    total = importance.sum()
    if total == 0 or importance.shape[1] == 1:
        return 0.0 if total == 0 else 1.0
    shares = importance.sum(1) / total
    return float(sum(share * (1 - _entropy(row)) for share, row in zip(shares, importance, strict=True)))


def completeness(importance: np.ndarray) -> float:
    """C = Σ_m ρ_m (1 − H_p(P̃_m)): as `disentanglement`, with latents and factors swapped. 1: one latent per factor.

    >>> completeness(np.array([[1.0, 1.0], [0.0, 0.0]])), round(completeness(np.ones((3, 2))), 9)
    (1.0, 0.0)

    Args:
        importance: (p, k).
    """
    return disentanglement(importance.T)


def dci(codes: Codes, factors: Factors, make: Callable[[], Any] | None = None, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness, from a random forest for each factor.

    The forests are fitted to 70 % of the examples. Informativeness is their accuracy on the others, averaged over the
    factors. Its standard error is over those examples, for these forests. Guessing the most common value has the
    accuracy `dci_guessing`. The importance of a latent is how much its splits lower the Gini impurity.

    Args:
        codes: (n, p).
        factors: (n, k).
        make: makes a classifier with `feature_importances_`; None makes scikit-learn's random forest.
        seed: of the split, and of the forests.

    Raises:
        ImportError: scikit-learn is not installed.

    >>> factors = np.random.default_rng(0).integers(5, size=(300, 2))
    >>> found = dci(factors.astype(float), factors)
    >>> round(found["dci_disentanglement"], 1), round(found["dci_informativeness"], 1)
    (1.0, 1.0)
    """
    make = make or _forest(seed)
    order = np.random.default_rng(seed).permutation(len(codes))
    fitted, held_out = np.split(order, [round(FITTED * len(codes))])
    importance, right, guessed = [], [], []
    for values in factors.T:
        model = make().fit(codes[fitted], values[fitted])
        importance.append(np.abs(model.feature_importances_))
        right.append(model.predict(codes[held_out]) == values[held_out])
        guessed.append(np.mean(values[held_out] == np.bincount(values[fitted]).argmax()))
    each = np.mean(right, axis=0)  # of an example, over the factors
    matrix = np.nan_to_num(np.stack(importance, axis=1))  # (p, k)
    return {
        "dci_disentanglement": disentanglement(matrix),
        "dci_completeness": completeness(matrix),
        "dci_informativeness": float(each.mean()),
        "dci_informativeness_stderr": float(each.std(ddof=1) / math.sqrt(len(each))),
        "dci_guessing": float(np.mean(guessed)),
    }


def _forest(seed: int) -> Callable[[], Any]:
    from sklearn.ensemble import RandomForestClassifier

    # All latents compete at each split: among few, a useless one would get importance.
    return lambda: RandomForestClassifier(TREES, max_features=None, min_samples_leaf=2, random_state=seed)


def _binned(code: np.ndarray, bins: int) -> np.ndarray:
    """The number of each value's interval, from 0. A constant is in one interval."""
    low, high = code.min(), code.max()
    if not high > low:
        return np.zeros(len(code), np.int64)
    edges = np.linspace(low, high, bins + 1)[1:-1]
    return np.searchsorted(edges, code, side="right")


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """I(a; b) of two columns of whole numbers, nats, from their counts."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / outer[seen])).sum())


def _squared_correlation(code: np.ndarray, values: np.ndarray) -> float:
    centred, other = code - code.mean(), values - values.mean()
    spread = (centred**2).mean() * (other**2).mean()
    return float((centred * other).mean() ** 2 / spread) if (centred**2).mean() > 1e-12 else 0.0


def _by_thresholds(code: np.ndarray, values: np.ndarray) -> float:
    """How far intervals of the latent, each predicting its most common value, beat guessing the most common value.

    The intervals hold equal shares of the examples. Half of the examples choose the values, the others score them.
    """
    edges = np.unique(np.quantile(code, np.linspace(0, 1, BINS + 1)[1:-1]))
    places, half = np.searchsorted(edges, code, side="right"), len(code) // 2
    counts = np.zeros((len(edges) + 1, values.max() + 1))
    np.add.at(counts, (places[:half], values[:half]), 1)
    common = np.bincount(values[:half], minlength=counts.shape[1]).argmax()
    predicted = np.where(counts.any(1), counts.argmax(1), common)[places[half:]]
    right, guessed = (predicted == values[half:]).mean(), (common == values[half:]).mean()
    return float(max(0.0, right - guessed) / (1 - guessed)) if guessed < 1 else 0.0


def _entropy(weights: np.ndarray) -> float:
    """The entropy of weights' shares, to the base of their number; 0 if all are 0."""
    if (total := weights.sum()) == 0:
        return 0.0
    shares = weights[weights > 0] / total
    return float(-(shares * np.log(shares)).sum() / math.log(len(weights)))
