"""One gradient, recorded as the list of tensor operations that it takes, and replayed.

A small VAE spends most of a step in Python and in autograd: modules, distributions, nodes of the backward pass. None
of it changes from step to step. So it runs once, under torch's tracer, and what the tracer saw is called directly from
then on: the same operations in the same order on the same numbers, with fresh draws of z.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen
from torch.fx.node import map_arg

from vaelab.objectives import Terms
from vaelab.precision import add_up_examples
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
DIRECT = {  # called through torch.NAME or torch.Tensor.NAME: half of what torch.ops.aten.NAME costs
    **{
        name: getattr(torch, name)
        for name in (
            *("add", "addmm", "bmm", "cat", "clone", "div", "empty", "exp", "log", "mean", "mm", "mul", "neg", "pow"),
            *("select", "sigmoid", "sqrt", "squeeze", "stack", "sub", "sum", "t", "tanh", "transpose", "unsqueeze"),
        )
    },
    **{name: getattr(torch.Tensor, name) for name in ("expand", "normal_", "view")},
}
aten = torch.ops.aten
UNITS: dict[Any, int] = {
    aten.mul.Tensor: 1,
    aten.div.Tensor: 1,
    aten.div.Scalar: 1,
    aten.pow.Tensor_Scalar: 1,
    aten.sub.Tensor: 0,
}


class Gradient(NamedTuple):
    """What one minibatch says of the parameters θ.

    Attributes:
        names: of the objective's terms.
        loss: averaged over the batch, (), nats.
        sums: of each term over the batch, (terms,), nats, in float64.
        gradients: ∂loss/∂θ, in the order of `vae.parameters()`; None for what is frozen or takes no part.
    """

    names: tuple[str, ...]
    loss: Tensor
    sums: Tensor
    gradients: list[Tensor | None]


@torch.enable_grad()
def gradient(vae: VAE, objective: Objective, x: Tensor, target: Tensor) -> Gradient:
    """x (B, *x), target (B, *t) -> the gradient of the mean loss."""
    terms = objective(vae, x, target)
    loss = terms.loss.mean()
    learned = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    found = _apart(learned, torch.autograd.grad(loss, learned, allow_unused=True))
    gradients = [next(found) if parameter.requires_grad else None for parameter in vae.parameters()]
    return Gradient(terms._fields, loss.detach(), add_up_examples(torch.stack(terms).detach()), gradients)


def _apart(parameters: Sequence[Tensor], values: tuple[Tensor | None, ...]) -> Iterator[Tensor | None]:
    """Gradients as `backward` leaves them: each in memory of its own, laid out as its parameter is.

    Fused optimisers read them in the parameter's order, and clipping writes to them.
    """
    seen = set()
    for parameter, value in zip(parameters, values, strict=True):
        if value is None:
            yield None
            continue
        place = value.untyped_storage().data_ptr()
        alike = value.stride() == parameter.stride() and place not in seen
        seen.add(place)
        yield value if alike else torch.empty_like(parameter).copy_(value)


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
        *((id(buffer), buffer._version, buffer.device) for buffer in vae.buffers()),
        *((id(module), *_settings(module)) for module in vae.modules()),
    )


def _settings(module: nn.Module) -> Iterator[object]:
    """What a module's formula reads beside its tensors, such as `training` or the floor of a σ."""
    return (value for value in vars(module).values() if isinstance(value, bool | int | float | str | tuple))


class Recorded:
    """`gradient` of one VAE and one objective, for batches like one example.

    It reads the parameters as they are when it is called. All else that it depends on is in `signature` and `kind`.

    Args:
        vae: what is trained; `is_pure(vae, objective)` must hold.
        objective: (vae, x, target) -> per-example terms.
        x: (B, *x), of an example batch.
        target: (B, *t), of an example batch.
        compiled: whether torch's compiler makes machine code of the operations, now. It fuses them, so that results are
            those of `gradient` up to rounding; the draws of z are the same.

    Raises:
        ValueError: the compiler does not work here.
    """

    def __init__(self, vae: VAE, objective: Objective, x: Tensor, target: Tensor, compiled: bool = False) -> None:
        self.parameters = list(vae.parameters())
        self.names: tuple[str, ...] = ()
        names = [name for name, _ in vae.named_parameters()]

        def traced(parameters: list[Tensor], *batch: Tensor) -> list[Tensor | None]:
            with nn.utils.stateless._reparametrize_module(vae, dict(zip(names, parameters, strict=True))):
                found = gradient(vae, objective, batch[0], batch[-1])
            self.names = found.names
            return [found.loss, found.sums, *found.gradients]

        inputs = [parameter.detach().requires_grad_(parameter.requires_grad) for parameter in self.parameters]
        with torch.random.fork_rng([x.device] if x.is_cuda else []):  # the tracer draws, and its draws must not count
            self.replay = _tidy(make_fx(traced)(inputs, *distinct(x, target))).forward
            if compiled:
                self._compile(x, target)

    def _compile(self, x: Tensor, target: Tensor) -> None:
        self.replay = torch.compile(self.replay, dynamic=False, options={"fallback_random": True})
        try:
            self(x, target)
        except TorchDynamoException as error:
            cause = str(error).strip().splitlines()[0]
            raise ValueError(
                f"compile=true failed ({cause}); install a C++ compiler such as g++, or use compile=false"
            ) from error

    def __call__(self, x: Tensor, target: Tensor) -> Gradient:
        """As `gradient`."""
        with torch.no_grad():
            loss, sums, *gradients = self.replay(*self.parameters, *distinct(x, target))
        return Gradient(self.names, loss, sums, gradients)


def distinct(x: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """The tensors of a batch, each once."""
    return (x,) if target is x else (x, target)


def kind(x: Tensor, target: Tensor) -> tuple[object, ...]:
    """What a recording holds of its batch: another kind takes another recording."""
    return tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in distinct(x, target))


def _tidy(module: GraphModule) -> GraphModule:
    """Takes out what changes no number, computes constants once, and calls the rest by the shorter way."""
    graph = module.graph
    constants = _constants(module)
    for node in graph.nodes:
        same = _idle(node, constants) if node.op == "call_function" and node not in constants else None
        if isinstance(same, Node):  # but x·1 that is handed out stays a tensor of its own
            node.replace_all_uses_with(same, lambda user, node=node: user.op != "output" or node.target not in UNITS)
    graph.eliminate_dead_code()
    for node in [node for node in graph.nodes if node in constants]:
        setattr(module, name := f"constant_{node.name}", constants[node])
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.create_node("get_attr", name))
    output = graph.output_node()
    for constant in [node for node in output.all_input_nodes if node.op == "get_attr"]:
        with graph.inserting_before(output):  # whoever gets it may write to it
            output.replace_input_with(constant, graph.call_function(torch.clone, (constant,)))
    graph.eliminate_dead_code()
    graph.set_codegen(CodeGen())  # takes the inputs one by one
    for node in graph.nodes:
        if isinstance(node.target, OpOverload):
            node.target = DIRECT.get(node.target._opname, node.target)
    module.recompile()
    return module


def _constants(module: GraphModule) -> dict[Node, Tensor]:
    """What depends on no parameter, no data and no draw."""
    found: dict[Node, Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            found[node] = getattr(module, node.target)
        elif any(_draws_or_writes(user) for user in (node, *node.users)):
            continue
        elif node.target is aten.ones_like.default:  # of its argument's shape alone
            like = node.meta["val"]
            found[node] = torch.ones(like.shape, dtype=like.dtype, device=like.device)
        elif node.op == "call_function" and node.all_input_nodes and found.keys() >= set(node.all_input_nodes):
            arguments, options = map_arg((node.args, node.kwargs), found.__getitem__)
            found[node] = node.target(*arguments, **options)
    return found


def _draws_or_writes(node: Node) -> bool:
    target = node.target
    return isinstance(target, OpOverload) and (
        torch.Tag.nondeterministic_seeded in target.tags or target._schema.is_mutable
    )


def _idle(node: Node, constants: dict[Node, Tensor]) -> Any:
    """The argument that a node hands on unchanged; None where it does something."""
    first: Any
    second: Any
    first, second = (*node.args, None, None)[:2]
    if node.target is aten.detach.default:
        return first
    if node.target is aten.t.default and getattr(first, "target", None) is aten.t.default:
        return first.args[0]
    same = node.target in (aten.view.default, aten.expand.default) or _is(UNITS.get(node.target), second, constants)
    return first if same and _kind_of(first) == _kind_of(node) else None


def _is(unit: int | None, value: Any, constants: dict[Node, Tensor]) -> bool:
    """Whether a number, or every number of a constant, is the unit."""
    value = constants.get(value) if isinstance(value, Node) else value
    return unit is not None and value is not None and bool((torch.as_tensor(value) == unit).all())


def _kind_of(node: Node) -> tuple[object, ...]:
    value = node.meta["val"]
    return value.shape, value.dtype
