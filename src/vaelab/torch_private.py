"""Names of torch that are not public: what vaelab uses, and why.

torch may rename or remove them in any release. The tests pass with torch 2.6.0 (tests/lowest.txt) and 2.13.0
(constraints.txt), pyproject.toml allows no newer minor version, and the workflow `newest` tries the newest release
every week. No other file uses such a name (tests/test_private_names.py).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._functorch import peek_interpreter_stack
from torch._ops import OpOverload  # the type of torch.ops.aten.mul.Tensor: a trace consists of these
from torch.distributions import Distribution, MultivariateNormal
from torch.distributions.kl import _kl_multivariatenormal_multivariatenormal as kl_of_multivariate_normals
from torch.distributions.multivariate_normal import _batch_mahalanobis as batch_mahalanobis
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import (
    TorchDispatchMode,
)  # counts what operations allocate, as its documentation shows

__all__ = ["OpOverload", "TorchDispatchMode", "batch_mahalanobis", "kl_of_multivariate_normals"]
# batch_mahalanobis: squares (t−μ)ᵀΣ⁻¹(t−μ) with one C for many t. torch offers this only inside its log_prob.
# kl_of_multivariate_normals: torch's closed form, called with float32 numbers; kl_divergence would call ours again.


def is_transformed() -> bool:
    """True inside a transform of torch.func such as vmap. torch has no public way to find out."""
    return peek_interpreter_stack() is not None


def has_readable_values(tensor: Tensor) -> bool:
    """True if a tensor holds numbers now: nothing traces, compiles, batches or captures the operations."""
    return not (
        tensor.is_meta
        or torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or is_transformed()
        or torch._C._len_torch_dispatch_stack()
        or (tensor.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def unbroadcasted_factor(normal: MultivariateNormal) -> Tensor:
    """C before torch expands it to the batch shape. Each use of `scale_tril` would read the expanded copy."""
    return normal._unbroadcasted_scale_tril


def checks_distributions() -> bool:
    """True if torch checks the arguments of distributions. Only the setter is public."""
    return bool(Distribution._validate_args)


def with_parameters(module: nn.Module, parameters: dict[str, Tensor]) -> AbstractContextManager[None]:
    """Gives a module these parameters inside the block. `torch.func.functional_call` does so only for one `forward`."""
    context: AbstractContextManager[None] = nn.utils.stateless._reparametrize_module(module, parameters)
    return context


def detached(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters share the memory of the original's, but pass on no gradient.

    `torch.func.functional_call` does not suffice for a flow: it keeps its modules and calls them later.
    """
    if next(module.parameters(), None) is None:
        return module
    twin = copy(module)
    cut_off: dict[str, Any] = {name: each if each is None else each.detach() for name, each in twin._parameters.items()}
    twin._parameters = cut_off
    twin._modules = {name: inner and detached(inner) for name, inner in module._modules.items()}
    return twin


def trace(function: Callable[..., Any], *inputs: Any) -> GraphModule:
    """Records the tensor operations of one call. `torch.fx.symbolic_trace` records no backward pass."""
    return make_fx(function)(*inputs)


def operation_name(operation: OpOverload) -> str:
    """`mul` for torch.ops.aten.mul.Tensor. The public name is longer, and its form changes between releases."""
    return operation._opname


def draws_or_writes(operation: object) -> bool:
    """True if an operation draws random numbers or writes to an argument. This is known from its schema only."""
    return isinstance(operation, OpOverload) and (
        torch.Tag.nondeterministic_seeded in operation.tags or operation._schema.is_mutable
    )


def is_compiler_error(error: Exception) -> bool:
    """True if torch's compiler raised the error. Its class is not exported."""
    from torch._dynamo.exc import TorchDynamoException  # imports the compiler, which takes seconds

    return isinstance(error, TorchDynamoException)


def has_hooks(module: nn.Module) -> bool:
    """True if a hook is attached to a module's forward or backward pass. Only adding a hook is public."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def version(tensor: Tensor) -> int:
    """A counter of writes to a tensor, which shows changes in place."""
    return tensor._version


def event_file(writer: Any) -> Any:
    """The file behind a SummaryWriter, which stores a PNG unchanged. `add_image` would decode and encode it."""
    return writer._get_file_writer()
