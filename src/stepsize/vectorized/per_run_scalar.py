"""A scalar per run where torch.optim's code expects one number, such as the learning rate.

Seven learning rates would need seven optimizers, and on small models an optimizer's step costs
little but Python. :class:`PerRunScalar` lets one optimizer step all of them: it takes the place of
``group["lr"]``, follows torch.optim's scalar arithmetic as an array
(``-lr / (1 - beta1 ** step)``), and becomes a column ``[runs, 1]`` where it meets a tensor
``[runs, columns]``. The updates remain torch's, operation by operation, in the same order.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SCALED = {"add": "alpha", "sub": "alpha", "addcmul": "value", "addcdiv": "value"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


class PerRunScalar(float):
    """A float64 scalar per run.

    As a float it is NaN, so that code which bypasses the operators below gives a visibly wrong
    result instead of the learning rate of one run for all runs.

    Args:
        values: float64, shape [runs].
    """

    __slots__ = ("_columns", "values")
    values: np.ndarray
    _columns: dict[Any, Tensor]

    def __new__(cls, values: np.ndarray) -> PerRunScalar:
        self = super().__new__(cls, math.nan)
        self.values = values
        self._columns = {}
        return self

    def column(self, like: Tensor) -> Tensor:
        """The values as a column [runs, 1], with the dtype and device of ``like``."""
        key = like.dtype, like.device
        if key not in self._columns:
            self._columns[key] = torch.from_numpy(self.values[:, None]).to(like.device, like.dtype)
        return self._columns[key]

    def __bool__(self) -> bool:
        return _unanimous(self.values != 0)

    def __neg__(self) -> PerRunScalar:
        return PerRunScalar(-self.values)

    __hash__ = None  # type: ignore[assignment]


def _binary(name: str) -> Callable[[PerRunScalar, Any], Any]:
    reflected = name.startswith("__r")
    operation = getattr(operator, name.strip("_").removeprefix("r") if reflected else name)

    def forward(self: PerRunScalar, other: Any) -> Any:
        if not isinstance(other, (int, float)):
            return NotImplemented  # PerRunArithmetic handles tensors
        values = other.values if type(other) is PerRunScalar else float(other)
        if reflected:
            return PerRunScalar(operation(values, self.values))
        return PerRunScalar(operation(self.values, values))

    return forward


def _comparison(name: str) -> Callable[[PerRunScalar, Any], bool]:
    operation = getattr(operator, name)

    def compare(self: PerRunScalar, other: Any) -> bool:
        values = other.values if isinstance(other, PerRunScalar) else other
        return _unanimous(operation(self.values, values))

    return compare


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(PerRunScalar, f"__{_name}__", _binary(f"__{_name}__"))
    setattr(PerRunScalar, f"__r{_name}__", _binary(f"__r{_name}__"))
for _name in _COMPARISONS:
    setattr(PerRunScalar, f"__{_name}__", _comparison(_name))


class PerRunArithmetic(TorchFunctionMode):
    """Context in which torch's functions on [runs, columns] accept :class:`PerRunScalar`."""

    def __enter__(self) -> Any:
        self._numpy_errors = np.errstate(all="ignore")  # 1 / 0 is inf, as in a tensor
        self._numpy_errors.__enter__()
        return super().__enter__()

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        self._numpy_errors.__exit__(*args)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        for value in args:
            if type(value) is PerRunScalar:
                return _on_columns(func, args, kwargs or {})
        if kwargs:
            for value in kwargs.values():
                if type(value) is PerRunScalar:
                    return _on_columns(func, args, kwargs)
            return func(*args, **kwargs)
        if func is Tensor.item and args[0].ndim:
            # ASGD keeps its learning rate in its state.
            return PerRunScalar(args[0][:, 0].double().cpu().numpy())
        return func(*args)


def _on_columns(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a torch function with a column in place of each per-run scalar."""
    name = func.__name__.rstrip("_")
    if func is torch.as_tensor:
        return torch.from_numpy(args[0].values[:, None]).to(**kwargs)
    if func is torch.full_like:
        return args[1].column(args[0]).expand_as(args[0]).contiguous()
    scaled = _SCALED.get(name)
    if scaled in kwargs:
        factor = kwargs.pop(scaled)
        *first, last = args
        if name in ("addcmul", "addcdiv"):
            return func(first[0], first[1] * factor.column(first[0]), last, **kwargs)
        sign = 1 if name == "add" else -1
        target = first[0]
        fused = Tensor.addcmul_ if func.__name__.endswith("_") else Tensor.addcmul
        return fused(target, last, factor.column(target), value=sign)
    if kwargs and any(type(v) is PerRunScalar for v in kwargs.values()):
        raise TypeError(f"{func.__name__} does not support a keyword with one value per run")
    tensor = next(value for value in args if isinstance(value, Tensor))
    columns = (v.column(tensor) if type(v) is PerRunScalar else v for v in args)
    return func(*columns, **kwargs)


def _unanimous(answers: np.ndarray) -> bool:
    """The truth value that all runs share.

    Raises:
        TypeError: the runs differ, so that one optimizer cannot step all of them.
    """
    if answers.all():
        return True
    if answers.any():
        raise TypeError("a condition in the optimizer's step differs between the runs of a stack")
    return False
