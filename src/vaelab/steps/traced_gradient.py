"""One gradient, traced once as a list of tensor operations, and replayed from then on.

A small VAE spends most of a step in Python and in autograd: modules, distributions, nodes of the backward pass. None
of it changes from step to step, so it runs once under torch's tracer. Later steps call the traced operations directly:
the same operations in the same order on the same numbers, with fresh draws of z.
"""

from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.graph import CodeGen
from torch.fx.node import map_arg

from vaelab.steps.gradient import Batch, Gradient, Objective, distinct, gradient, places
from vaelab.steps.purity import NotPureError, who_reads_values
from vaelab.torch_private import (
    OpOverload,
    draws_or_writes,
    is_compiler_error,
    operation_name,
    trace,
    with_parameters,
)
from vaelab.vae import VAE

DIRECT = {  # called as torch.NAME or torch.Tensor.NAME, which costs half as much as torch.ops.aten.NAME
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


class TracedGradient:
    """A traced `gradient` of one VAE and one objective, for batches that are like an example.

    Each call reads the current parameters. Everything else that it depends on is in `signature` and `kind`.

    Args:
        vae: the model to train; `why_impure(vae, objective)` must be None.
        objective: (vae, *batch) -> per-example terms.
        batch: an example, (x, target) or (x, target, condition).
        compiled: compile the operations to machine code now, with torch's compiler. It fuses them, so the results equal
            those of `gradient` up to rounding. The draws of z are the same.

    Raises:
        NotPureError: a part that declares itself pure reads the values of tensors.
        ValueError: the compiler does not work here.
    """

    def __init__(self, vae: VAE, objective: Objective, batch: Batch, compiled: bool = False) -> None:
        self.parameters = list(vae.parameters())
        self.names: tuple[str, ...] = ()
        names, order = [name for name, _ in vae.named_parameters()], places(batch)

        def traced(parameters: list[Tensor], *tensors: Tensor) -> list[Tensor | None]:
            with with_parameters(vae, dict(zip(names, parameters, strict=True))):
                found = gradient(vae, objective, *(tensors[place] for place in order))
            self.names = found.names
            return [found.loss, found.sums, *found.gradients]

        inputs = [parameter.detach().requires_grad_(parameter.requires_grad) for parameter in self.parameters]
        device = batch[0].device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):  # the tracer's draws must not count
            try:
                self.replay = _tidy(trace(traced, inputs, *distinct(batch))).forward
            except RuntimeError as error:
                if "tracing tensor" not in str(error):
                    raise
                raise NotPureError(f"{who_reads_values(error, vae, objective)} reads the values of tensors") from error
            if compiled:
                self._compile(batch)

    def _compile(self, batch: Batch) -> None:
        self.replay = torch.compile(self.replay, dynamic=False, options={"fallback_random": True})
        try:
            self(*batch)
        except Exception as error:
            if not is_compiler_error(error):
                raise
            cause = str(error).strip().splitlines()[0]
            raise ValueError(
                f"compile=true needs a working C++ compiler, but {cause}; install one such as g++, or use compile=false"
            ) from error

    def __call__(self, *batch: Tensor) -> Gradient:
        """Returns what `gradient` would."""
        with torch.no_grad():
            loss, sums, *gradients = self.replay(*self.parameters, *distinct(batch))
        return Gradient(self.names, loss, sums, gradients)


def _tidy(module: GraphModule) -> GraphModule:
    """Removes operations that change nothing, computes constants once, and calls the others in the cheaper way."""
    graph = module.graph
    constants = _constants(module)
    for node in graph.nodes:
        same = _idle(node, constants) if node.op == "call_function" and node not in constants else None
        if isinstance(same, Node):  # except that an x·1 that is returned stays a tensor of its own
            node.replace_all_uses_with(same, lambda user, node=node: user.op != "output" or node.target not in UNITS)
    graph.eliminate_dead_code()
    for node in [node for node in graph.nodes if node in constants]:
        setattr(module, name := f"constant_{node.name}", constants[node])
        with graph.inserting_before(node):
            node.replace_all_uses_with(graph.create_node("get_attr", name))
    output = graph.output_node()
    for constant in [node for node in output.all_input_nodes if node.op == "get_attr"]:
        with graph.inserting_before(output):  # the caller may write to it
            output.replace_input_with(constant, graph.call_function(torch.clone, (constant,)))
    graph.eliminate_dead_code()
    graph.set_codegen(CodeGen())  # takes the inputs one by one
    for node in graph.nodes:
        if isinstance(node.target, OpOverload):
            node.target = DIRECT.get(operation_name(node.target), node.target)
    module.recompile()
    return module


def _constants(module: GraphModule) -> dict[Node, Tensor]:
    """The nodes that depend on no parameter, no data and no draw, with their values."""
    found: dict[Node, Tensor] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            found[node] = getattr(module, node.target)
        elif any(draws_or_writes(user.target) for user in (node, *node.users)):
            continue
        elif node.target is aten.ones_like.default:  # depends only on its argument's shape
            like = node.meta["val"]
            found[node] = torch.ones(like.shape, dtype=like.dtype, device=like.device)
        elif node.op == "call_function" and node.all_input_nodes and found.keys() >= set(node.all_input_nodes):
            arguments, options = map_arg((node.args, node.kwargs), found.__getitem__)
            found[node] = node.target(*arguments, **options)
    return found


def _idle(node: Node, constants: dict[Node, Tensor]) -> Any:
    """The argument that a node returns unchanged; None if the node changes it."""
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
    """True if a number, or every number of a constant, equals the unit."""
    value = constants.get(value) if isinstance(value, Node) else value
    return unit is not None and value is not None and bool((torch.as_tensor(value) == unit).all())


def _kind_of(node: Node) -> tuple[object, ...]:
    value = node.meta["val"]
    return value.shape, value.dtype
