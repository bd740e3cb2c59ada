"""One gradient, recorded as the list of tensor operations that it takes, and replayed.

A small VAE spends most of a step in Python and in autograd: modules, distributions, nodes of the backward pass. None
of it changes from step to step. So it runs once, under torch's tracer, and what the tracer saw is called directly from
then on: the same operations in the same order on the same numbers, with fresh draws of z.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

from vaelab.objectives import Terms
from vaelab.vae import VAE

Objective = Callable[[VAE, Tensor, Tensor], Terms]

PURE = (  # modules that are functions of their parameters and input, and of nothing that Python may change
    "vaelab.",
    "torch.nn.modules.activation",
    "torch.nn.modules.container",
    "torch.nn.modules.conv",
    "torch.nn.modules.flatten",
    "torch.nn.modules.linear",
)
DIRECT = (  # called through torch.NAME, which costs half of what torch.ops.aten.NAME does
    *("add", "addmm", "bmm", "cat", "clone", "div", "exp", "log", "mean", "mm", "mul", "neg", "ones_like", "pow"),
    *("select", "sigmoid", "sqrt", "squeeze", "stack", "sub", "sum", "t", "tanh", "transpose", "unsqueeze"),
)
aten = torch.ops.aten


class Gradient(NamedTuple):
    """What one minibatch says of the parameters θ.

    Attributes:
        names: of the objective's terms.
        loss: averaged over the batch, (), nats.
        sums: of each term over the batch, (terms,), nats.
        gradients: ∂loss/∂θ, in the order of `vae.parameters()`; None for what is frozen or takes no part.
    """

    names: tuple[str, ...]
    loss: Tensor
    sums: Tensor
    gradients: list[Tensor | None]


def gradient(vae: VAE, objective: Objective, x: Tensor, target: Tensor) -> Gradient:
    """x (B, *x), target (B, *t) -> the gradient of the mean loss."""
    terms = objective(vae, x, target)
    loss = terms.loss.mean()
    learned = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    found = iter(torch.autograd.grad(loss, learned, allow_unused=True))
    gradients = [next(found) if parameter.requires_grad else None for parameter in vae.parameters()]
    return Gradient(terms._fields, loss.detach(), torch.stack(terms).detach().sum(-1), gradients)


def is_pure(vae: VAE, objective: Objective) -> bool:
    """Whether every part is known to be a function of its parameters and input alone: then a recording stays true."""
    parts: list[object] = [objective, *vae.modules()]
    return all(type(part).__module__.startswith(PURE) for part in parts) and not any(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks for module in vae.modules()
    )


def signature(vae: VAE, objective: Objective) -> tuple[object, ...]:
    """What must still be equal when a recording is replayed."""
    return (
        objective,
        *((id(parameter), parameter.requires_grad, parameter.device) for parameter in vae.parameters()),
        *((id(module), module.training) for module in vae.modules()),
    )


class Recorded:
    """`gradient` of one VAE and one objective, for batches like one example.

    It reads the parameters as they are when it is called. All else that it depends on is in `signature`, and `fits`.

    Args:
        vae: what is trained; `is_pure(vae, objective)` must hold.
        objective: (vae, x, target) -> per-example terms.
        x: (B, *x), of an example batch.
        target: (B, *t), of an example batch.
    """

    def __init__(self, vae: VAE, objective: Objective, x: Tensor, target: Tensor) -> None:
        self.parameters = list(vae.parameters())
        self.kind = _kind(x, target)
        self.names: tuple[str, ...] = ()
        names = [name for name, _ in vae.named_parameters()]

        def traced(parameters: list[Tensor], *batch: Tensor) -> list[Tensor | None]:
            with nn.utils.stateless._reparametrize_module(vae, dict(zip(names, parameters, strict=True))):
                found = gradient(vae, objective, batch[0], batch[-1])
            self.names = found.names
            return [found.loss, found.sums, *found.gradients]

        inputs = [parameter.detach().requires_grad_(parameter.requires_grad) for parameter in self.parameters]
        with torch.random.fork_rng([x.device] if x.is_cuda else []):  # the tracer draws, and its draws must not count
            self.replay = _tidy(make_fx(traced)(inputs, *_distinct(x, target))).forward

    def fits(self, x: Tensor, target: Tensor) -> bool:
        """Whether a batch is like the one that was recorded."""
        return self.kind == _kind(x, target)

    def __call__(self, x: Tensor, target: Tensor) -> Gradient:
        """As `gradient`."""
        with torch.no_grad():
            loss, sums, *gradients = self.replay(*self.parameters, *_distinct(x, target))
        return Gradient(self.names, loss, sums, gradients)


def _distinct(x: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    return (x,) if target is x else (x, target)


def _kind(x: Tensor, target: Tensor) -> tuple[object, ...]:
    return tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in _distinct(x, target))


def _tidy(module: GraphModule) -> GraphModule:
    """Takes out what changes no number, and calls the rest by the shorter way."""
    graph = module.graph
    for node in graph.nodes:
        if node.op == "call_function" and isinstance(same := _idle(node), Node):
            node.replace_all_uses_with(same)
    graph.eliminate_dead_code()
    graph.set_codegen(CodeGen())  # takes the inputs one by one
    for node in graph.nodes:
        name = getattr(node.target, "_opname", None)
        if name in DIRECT:
            node.target = getattr(torch, name)
    module.recompile()
    return module


def _idle(node: Node) -> Any:
    """The argument that a node hands on unchanged; None where it does something."""
    first: Any
    second: Any
    first, second = (*node.args, None, None)[:2]
    if node.target is aten.detach.default:
        return first
    if node.target is aten.t.default and getattr(first, "target", None) is aten.t.default:
        return first.args[0]
    by_one = node.target in (aten.mul.Tensor, aten.div.Tensor, aten.div.Scalar, aten.pow.Tensor_Scalar)
    by_one = by_one and not isinstance(second, Node) and second == 1
    if by_one or node.target in (aten.view.default, aten.expand.default):
        return first if _kind_of(first) == _kind_of(node) else None
    return None


def _kind_of(node: Node) -> tuple[object, ...]:
    value = node.meta["val"]
    return value.shape, value.dtype
