"""Takes optimiser steps in the fastest way that gives the same numbers."""

import logging
from collections import Counter
from collections.abc import Callable, Hashable

from torch.optim import Optimizer

from vaelab.steps.cuda_graph import CudaGraphStep, is_capturable, settings
from vaelab.steps.gradient import Batch, Gradient, Objective, WithBeta, gradient, is_scheduled, kind
from vaelab.steps.purity import NotPureError, signature, why_impure
from vaelab.steps.traced_gradient import TracedGradient
from vaelab.vae import VAE

log = logging.getLogger(__name__)
TRACE_AFTER = 500  # eager steps: tracing costs about half a second, which a short run would not earn back
CAPTURE_AFTER = 3  # steps, during which the GPU's libraries set themselves up

Finish = Callable[[Gradient, Batch], None]
Key = tuple[Hashable, ...]


class Stepper:
    """Trains one VAE on one objective: with eager steps at first, and with traced or captured ones once they pay.

    All of these draw the same numbers and give the same weights; `compile` gives the same weights up to rounding. Call
    `look` before each stretch of steps. It drops all traces if the model, the objective or their settings have changed.

    Args:
        vae: the model to train.
        objective: (vae, *batch) -> per-example terms.
        compile: on a CPU, compile the gradient of full batches to machine code, from the first step on; on a GPU, run
            the whole step as a CUDA graph. It has no effect if a part is not declared pure.

    Attributes:
        why_eager: the reason if all steps are eager: a part is not declared pure, or wrongly so; else None.
    """

    def __init__(self, vae: VAE, objective: Objective, compile: bool = False) -> None:
        self.vae, self.objective, self.compile = vae, objective, compile
        self.why_eager: str | None = None
        self.wrongly_pure: str | None = None  # found by the first trace
        self.parameters = list(vae.parameters())
        self.known: Key | None = None
        self.eager_steps: Counter[Key] = Counter()
        self.traced: dict[Key, TracedGradient] = {}
        self.graphs: dict[Key, CudaGraphStep] = {}

    def look(self) -> None:
        """Checks if anything except the weights has changed, and drops all traces if so."""
        self.parameters = list(self.vae.parameters())
        self.why_eager = self.wrongly_pure or why_impure(self.vae, self.objective)
        known = None if self.why_eager else signature(self.vae, self.objective)
        if known != self.known:
            self.known = known
            self.eager_steps.clear()
            self.traced.clear()
            self.graphs.clear()

    def take(
        self, optimizer: Optimizer, batch: Batch, finish: Finish, is_full: bool = True, clipping: Key = ()
    ) -> list[Gradient]:
        """Takes one optimiser step and returns its gradient (several, if the optimiser computes more than one).

        Args:
            optimizer: the optimiser.
            batch: (x, target) or (x, target, condition), on the model's device; with β after them if the objective is
                scheduled.
            finish: called with each gradient and the batch once the gradients are in the parameters' `grad`. It may
                change these, and it may raise.
            is_full: True if the batch has the usual size; only such batches are compiled.
            clipping: how `finish` changes gradients; another value needs another CUDA graph.
        """

        def take(batch: Batch) -> list[Gradient]:
            def closure() -> float:
                found.append(self._gradient(batch, is_full))
                for parameter, value in zip(self.parameters, found[-1].gradients, strict=True):
                    parameter.grad = value
                finish(found[-1], batch)
                return found[-1].loss  # type: ignore[return-value]  # torch accepts a tensor too

            found: list[Gradient] = []
            optimizer.step(closure)
            return found

        return self._by_cuda_graph(take, optimizer, batch, clipping) or take(batch)

    def _by_cuda_graph(
        self, take: Callable[[Batch], list[Gradient]], optimizer: Optimizer, batch: Batch, clipping: Key
    ) -> list[Gradient] | None:
        """Takes the step with a CUDA graph, captured after a few ordinary steps. Returns None if there is no graph."""
        if not (self.known and self.compile and batch[0].is_cuda and is_capturable(optimizer)):
            return None
        key = (*kind(batch), clipping, optimizer, settings(optimizer))
        if key not in self.graphs:
            self.eager_steps[key] += 1
            if self.eager_steps[key] <= CAPTURE_AFTER:
                return None
            self.graphs[key] = CudaGraphStep(take, optimizer, batch)
        return self.graphs[key](batch)

    def _gradient(self, batch: Batch, is_full: bool) -> Gradient:
        """Replays a trace if there is one, or makes one if it will pay off."""
        if self.known is None:
            return gradient(self.vae, self._loss, *batch)
        key = kind(batch)
        traced, compiled = self.traced.get(key), self.compile and is_full and not batch[0].is_cuda
        if traced is None and (compiled or self.eager_steps[key] >= TRACE_AFTER):
            traced = self._trace(batch, compiled)
        if traced is not None:
            return traced(*batch)
        self.eager_steps[key] += 1
        return gradient(self.vae, self._loss, *batch)

    @property
    def _loss(self) -> Objective:
        """The objective as a function of the batch alone."""
        return WithBeta(self.objective) if is_scheduled(self.objective) else self.objective

    def _trace(self, batch: Batch, compiled: bool) -> TracedGradient | None:
        """Traces a gradient. If a part is wrongly declared pure, this warns once, and all further steps are eager."""
        try:
            traced = self.traced[kind(batch)] = TracedGradient(self.vae, self._loss, batch, compiled)
        except NotPureError as error:
            self.wrongly_pure = str(error)
            log.warning(
                "%s, so its part must not declare `pure = True`; the steps from here on run in Python, which is slower "
                "(docs/extending.md)",
                error,
            )
            self.look()
            return None
        return traced
