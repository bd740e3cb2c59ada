"""The two landmarks beside every score: the baseline, and if the data's generator is known, the ceiling.

baseline   mean of log p(t) under the best distribution without a latent; a model should score higher
ceiling    −entropy of the generator: no model scores higher, in expectation
"""

from typing import Any

import torch
from torch import Tensor

from vaelab.baseline import Baseline
from vaelab.precision import add_up_examples, full_precision
from vaelab.training.running_means import RunningMeans


class Landmarks:
    """Collects the landmarks of a split during its first pass.

    Attributes:
        numbers: `baseline` and, if it is known, `ceiling`, in nats per example. Empty before the first pass has ended.
    """

    def __init__(self) -> None:
        self.means = RunningMeans()
        self.numbers: dict[str, Tensor] = {}

    def start(self) -> None:
        """Starts a pass over the split."""
        self.means = RunningMeans()

    @torch.no_grad()
    def add(self, baseline: Baseline | None, target: Tensor) -> None:
        """Adds the targets of a batch, (B, *t), unless an earlier pass has added all."""
        if baseline is not None and not self.numbers:
            with full_precision(baseline) as module:
                log_pt = module().log_prob(target)  # (B,)
            self.means.add(("baseline",), add_up_examples(log_pt).unsqueeze(0), len(log_pt))

    def end(self, datamodule: Any) -> dict[str, Tensor]:
        """Ends a pass over the split, and returns `numbers`."""
        if self.means.count:
            self.numbers = self.means.take()
            entropy = datamodule.entropy() if hasattr(datamodule, "entropy") else None
            if entropy is not None:
                self.numbers["ceiling"] = torch.tensor(-entropy, dtype=torch.float64)
        return self.numbers
