"""PyTorch, of Keras 3 on its torch backend. `backends` says what each name means."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch

from smooth_recs import keras_generation
from smooth_recs.backends import _formula, is_tensor

HAS_KERNELS = False  # Softplus is exact in float32 only, the gradients of the others round in 16 bits

absolute = torch.abs
clip = torch.clamp
erfc = torch.erfc
exp = torch.exp
expm1 = torch.expm1
is_finite = torch.isfinite
is_nan = torch.isnan
log1p = torch.log1p
matmul = torch.matmul
ones_like = torch.ones_like
power = torch.pow
reciprocal = torch.reciprocal
reduce_any = torch.any
relu = torch.relu
sigmoid = torch.sigmoid
sqrt = torch.sqrt
square = torch.square
tanh = torch.tanh
where = torch.where


def not_converted(function: Any) -> Any:
    return function


def name_scope(name: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


def convert(x: Any) -> Any:
    """`x`, a Keras variable among others, as a tensor."""
    return x if isinstance(x, torch.Tensor) else keras_generation.keras().ops.convert_to_tensor(x)


def cast(x: Any, dtype: Any) -> Any:
    return convert(x).to(getattr(torch, dtype) if isinstance(dtype, str) else dtype)


def stop_gradient(x: Any) -> Any:
    return convert(x).detach()


def bias_add(x: Any, bias: Any) -> Any:
    return x + bias


def minimum(x: Any, y: Any) -> Any:
    # torch.minimum passes half of the gradient to each at a tie, torch.clamp none. Where no gradient is recorded, as in
    # the first pass forward and backward of an activation, one operation will do.
    if isinstance(y, torch.Tensor) and not torch.is_grad_enabled():
        return torch.minimum(x, y)
    return torch.where(x > y, y, x)


def maximum(x: Any, y: Any) -> Any:
    if isinstance(y, torch.Tensor) and not torch.is_grad_enabled():
        return torch.maximum(x, y)
    return torch.where(x < y, y, x)


def reduce_max(x: Any, axis: int, keepdims: bool) -> Any:
    return torch.amax(x, axis, keepdims)


def reduce_sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.sum(x, axis, keepdims)


def softplus(x: Any) -> Any:
    return torch.nn.functional.softplus(x, threshold=40.0)  # beyond it log(1 + exp(x)) is x in every type


def multiply_no_nan(x: Any, y: Any) -> Any:
    """x y, and 0 where y is 0."""
    return torch.where(y == 0, torch.zeros_like(x), x * y)


def divide_no_nan(x: Any, y: Any) -> Any:
    """x / y, and 0 where y is 0."""
    return torch.where(y == 0, torch.zeros_like(y), x / torch.where(y == 0, torch.ones_like(y), y))


def largest(x: Any) -> float:
    """The largest finite number of the type of `x`."""
    return torch.finfo(x.dtype).max


def lowest(x: Any) -> float:
    """The finite number of the type of `x` that is farthest below 0."""
    return torch.finfo(x.dtype).min


def is_half(x: Any) -> bool:
    """True where `x` is of a type of 16 bits or fewer."""
    return x.dtype.itemsize < 4


def constant(value: Any, like: Any) -> Any:
    """A number, or an array of them, in the type of `like`."""
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def one() -> Any:
    """1 in float32."""
    return torch.ones((), dtype=torch.float32)


def count(x: Any) -> float:
    """How many numbers `x` has."""
    return float(x.numel())


def to_numpy(x: Any) -> Any:
    """A NumPy array of float32."""
    return cast(x, torch.float32).detach().cpu().numpy()


def is_symbolic(x: Any) -> bool:
    """True where `x` has no values yet."""
    return convert(x).device.type == "meta"


def random_state() -> Any:
    """The random state that layers share: Keras 3 (3.15) lets dropout without a seed draw from PyTorch's own."""
    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def set_random_state(state: Any) -> None:
    """Makes layers draw from now on what they drew after `random_state`."""
    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def sum_over_devices(tensors: list[Any]) -> list[Any]:
    """The sums over devices that train in step: as they are, since each process of PyTorch has its own numbers."""
    return tensors


def value_and_slope(function: Callable[[Any], Any], point: float) -> tuple[float, float]:
    """The value of a function and its derivative at a point, in float64."""
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    y = function(x)
    (slope,) = torch.autograd.grad(y, x, allow_unused=True) if y.requires_grad else (None,)
    return float(y.detach()), 0.0 if slope is None else float(slope)


def clip_to(x: Any, limit: float) -> Any:
    """min(max(x, -limit), limit), with the gradient 1 where |x| <= limit and 0 elsewhere; NaN stays NaN."""
    bound = constant(limit, x)
    return maximum(minimum(x, bound), -bound)


def euclidean_rows(kernel: Any, norm_value: float) -> Any:
    """Scales the columns of a kernel [inputs, units] to L_2 norm v; those of a norm below 1e-19 stay as they are."""
    squares = torch.sum(torch.square(kernel), 0)
    none = squares < torch.finfo(squares.dtype).tiny
    return kernel * (norm_value / torch.sqrt(torch.where(none, torch.ones_like(squares), squares)))


class _Differentiable(torch.autograd.Function):
    """`formula.value` with the gradients of `formula.partials`, backward and under `torch.func.vmap`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(formula: _formula.Formula, x: Any, *args: Any) -> Any:
        return formula.value(x, *args).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.formula, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *upstreams: Any) -> Any:
        (upstream,) = upstreams
        wide = ctx.formula.cast(upstream)
        slopes = ctx.formula.partials(*ctx.saved_tensors)
        gradients: list[Any] = [None] * len(ctx.needs_input_grad)
        for i, (slope, tensor) in enumerate(zip(slopes, ctx.saved_tensors, strict=False), start=1):
            if ctx.needs_input_grad[i]:
                gradients[i] = _sum_to(wide * slope(), tensor).to(tensor.dtype)
        return tuple(gradients)


class _DifferentiableForward(_Differentiable):
    """The same, in forward mode too, which torch.compile (2.14) refuses."""

    @staticmethod
    def jvp(ctx: Any, *directions: Any) -> Any:
        x, *_ = ctx.saved_tensors
        slopes = zip(ctx.formula.partials(*ctx.saved_tensors), directions[1:], strict=False)
        products = [slope() * ctx.formula.cast(direction) for slope, direction in slopes if direction is not None]
        return sum(products[1:], products[0]).to(x.dtype)


def differentiable(
    value: Callable[..., Any],
    partials: Callable[..., _formula.Partials],
    x: Any,
    hyperparameters: Mapping[str, Any],
    exact_in_half: bool = False,
) -> Any:
    """`value(x, *hyperparameters)` with the gradients `partials(x, *hyperparameters)`; see `backends`."""
    dtype = torch.float32 if is_half(x) else x.dtype  # PyTorch on a processor rounds after every operation
    inputs = {}
    for name, given in hyperparameters.items():
        if is_tensor(given):
            inputs[name] = cast(given, dtype)
        else:
            number = _formula.checked(name, given, torch.finfo(dtype).max, str(dtype).removeprefix("torch."))
            inputs[name] = torch.tensor(number, dtype=dtype, device=x.device)
    # Constants are inputs too: a tensor that is made inside `torch.func.vmap` or `grad` belongs to that transformation.
    formula = _formula.Formula(value, partials, inputs, list(inputs), lambda x: x.to(dtype))
    kind = _Differentiable if torch.compiler.is_compiling() else _DifferentiableForward
    return kind.apply(formula, x, *inputs.values())


def _sum_to(gradient: Any, of: Any) -> Any:
    """Sums a gradient over the axes along which `of` was broadcast."""
    return gradient if gradient.shape == of.shape else gradient.sum_to_size(of.shape)
